//! Tables and records for people. On a terminal they fit its width: long cells continue on the next line. Elsewhere
//! nothing is broken or cut, so that `grep` and `awk` find whole words.

use std::io::IsTerminal as _;

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use super::cell;
use super::terminal::plain;

/// A column of a table: its title, and its cell for a document.
pub struct Column {
    title: &'static str,
    cell: fn(&Value) -> String,
    alignment: CellAlignment,
    breaks: Breaks,
}

/// The columns that may be narrower than their cells.
#[derive(PartialEq, Eq)]
enum Breaks {
    IfNarrow,
    Never,
}

impl Column {
    pub const fn text(title: &'static str, cell: fn(&Value) -> String) -> Self {
        Self { title, cell, alignment: CellAlignment::Left, breaks: Breaks::IfNarrow }
    }

    /// Makes a column whose cells are never broken, for ids that people copy.
    pub const fn id(title: &'static str, cell: fn(&Value) -> String) -> Self {
        Self { title, cell, alignment: CellAlignment::Left, breaks: Breaks::Never }
    }

    /// Makes a column whose cells end at its right side, for numbers.
    pub const fn number(title: &'static str, cell: fn(&Value) -> String) -> Self {
        Self { title, cell, alignment: CellAlignment::Right, breaks: Breaks::IfNarrow }
    }
}

/// Returns a table with a line of titles and a row for each document.
pub fn table(columns: &[Column], rows: &[Value]) -> String {
    laid_out(columns, rows, terminal_width())
}

fn laid_out(columns: &[Column], rows: &[Value], width: Option<u16>) -> String {
    let mut table = empty(width);
    let aligned = |column: &Column, text: &str| Cell::new(text).set_alignment(column.alignment);
    table.set_header(columns.iter().map(|column| aligned(column, column.title)));
    for row in rows {
        table.add_row(columns.iter().map(|column| aligned(column, &plain(&(column.cell)(row)))));
    }
    for (column, own) in columns.iter().zip(table.column_iter_mut()) {
        if column.breaks == Breaks::Never {
            own.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    finished(table)
}

/// Returns the fields of a document, one a line: those of `first` in their order, then the others, except for
/// `left_out`.
pub fn record(document: &Value, first: &[&str], left_out: &[&str]) -> String {
    let mut table = empty(terminal_width());
    let rest = document.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let rest = rest.filter(|name| !first.contains(name) && !left_out.contains(name));
    let named = first.iter().copied().filter(|name| document.get(name).is_some());
    for name in named.chain(rest) {
        let text = field(name, &document[name]);
        table.add_row([plain(&name.replace('_', " ")), plain(&text)]);
    }
    finished(table)
}

/// Returns the text of a field by the kind of its value: bytes, a time, or another value.
fn field(name: &str, value: &Value) -> String {
    const BYTES: [&str; 6] = ["size", "bytes", "received", "used", "reserved", "free"];
    let is_bytes = BYTES.contains(&name) || name.starts_with("bytes_");
    if is_bytes && value.is_u64() {
        // The exact number is in the JSON.
        return cell::bytes(value);
    }
    cell::time(value)
}

fn empty(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match width {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table
}

fn finished(mut table: Table) -> String {
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table.trim_fmt()
}

/// Returns the number of columns of the terminal, or none if standard output is no terminal.
fn terminal_width() -> Option<u16> {
    let output = std::io::stdout();
    if !output.is_terminal() {
        return None;
    }
    tcgetwinsize(&output).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[
        Column::text("NAME", |image| cell::text(&image["name"])),
        Column::number("SIZE", |image| cell::bytes(&image["size"])),
        Column::text("NOTES", |image| cell::first_line(&image["notes"])),
    ];

    fn rows() -> [Value; 2] {
        let notes = "Office with all patches of January and a printer driver that prints";
        [
            json!({"name": "win7-office", "size": 5_368_709_120_u64, "notes": notes}),
            json!({"name": "lab", "size": 0}),
        ]
    }

    #[test]
    fn a_piped_table_breaks_no_line() {
        let shown = laid_out(COLUMNS, &rows(), None);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "NAME             SIZE  NOTES");
        assert!(lines[1].starts_with("win7-office  5.00 GiB  Office with all"), "{shown}");
        assert!(lines[1].ends_with("that prints") && lines.len() == 3, "{shown}");
    }

    #[test]
    fn a_table_fits_the_terminal_and_loses_nothing() {
        let shown = laid_out(COLUMNS, &rows(), Some(50));
        assert!(shown.lines().all(|line| line.chars().count() <= 50), "{shown}");
        for word in ["win7-office", "patches", "prints", "lab"] {
            assert!(shown.contains(word), "{shown}");
        }
    }

    #[test]
    fn an_id_stays_whole_on_a_narrow_terminal() {
        const COLUMNS: &[Column] = &[
            Column::id("TOKEN", |token| cell::text(&token["id"])),
            Column::text("NAME", |token| cell::text(&token["name"])),
        ];
        let id = "01a22e88-e2b0-74e1-9a4f-cc00c36f37f7";
        let row = json!({"id": id, "name": "a program with a long name that builds images"});
        let shown = laid_out(COLUMNS, &[row], Some(60));
        assert!(shown.contains(id) && shown.lines().count() > 2, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
    }

    #[test]
    fn escape_sequences_of_others_are_not_obeyed() {
        let row = json!({"name": "\u{1b}[2J"});
        assert!(!laid_out(COLUMNS, &[row], None).contains('\u{1b}'));
    }

    #[test]
    fn a_record_begins_with_the_fields_that_people_look_for() {
        let document =
            json!({"name": "a", "kind": "medv", "created_at": "2026-01-05T09:30:00Z", "files": []});
        let shown = record(&document, &["name", "kind"], &["files"]);
        assert_eq!(shown, "name        a\nkind        medv\ncreated at  2026-01-05 09:30:00Z");
    }
}
