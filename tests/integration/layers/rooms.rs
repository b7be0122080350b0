//! The rooms of the code and what each may use, as ARCHITECTURE.md lists them: the one list that there is.

use crate::harness::project::project;

/// A room: a folder of `src` (with the file of its name), or a single file there.
pub struct Room {
    pub name: String,
    pub uses: Vec<String>,
}

/// The rooms from the ground up. Each row of the table begins `| 1 | `room` | `used`, `used` |`.
pub fn rooms() -> Vec<Room> {
    let path = project().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).expect("read ARCHITECTURE.md");
    let rooms: Vec<Room> = text.lines().filter_map(row).collect();
    assert!(rooms.len() > 5, "ARCHITECTURE.md has no table of rooms that can be read");
    rooms
}

fn row(line: &str) -> Option<Room> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    cells.next()?.parse::<usize>().ok()?;
    let name = in_backticks(cells.next()?).next()?;
    Some(Room { name, uses: in_backticks(cells.next()?).collect() })
}

fn in_backticks(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}
