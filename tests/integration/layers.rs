//! How the code stands: dependencies between the rooms go one way, and every file says what it is.
//!
//! Rust itself does not hold modules of one crate apart. Rejected: a crate for each room, which
//! would make every small step through the rooms a change of several manifests.

use std::path::{Path, PathBuf};

/// The rooms from the lowest up. A room may use those before it and, where it is named in
/// [`LEVEL_WITH`], itself; never one that comes later.
const ROOMS: [&str; 7] = ["model", "storage", "catalog", "upkeep", "api", "server", "main"];

/// Rooms beside the main line: what each of them may use, itself apart.
const SIDE_ROOMS: [(&str, &[&str]); 4] = [
    // Protocols that others defined: bytes and text in, values out.
    ("wire", &["model"]),
    // Who is calling. Users lie in the catalog; the answer to a refusal is the API's.
    ("access", &["model", "storage", "catalog", "wire"]),
    // The command line's side talks HTTP to any server, as curl could: it sees no rows.
    ("client", &["model", "prestage"]),
    // What a pre-staging kit holds: text made from values.
    ("prestage", &["model"]),
];

struct SourceFile {
    path: PathBuf,
    room: String,
    text: String,
}

fn source_files() -> Vec<SourceFile> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    crate::harness::folder::files_below(&sources)
        .into_keys()
        .filter(|path| Path::new(path).extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let room = path.split('/').next().unwrap_or(&path);
            let room = room.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(sources.join(&path)).expect("read a source file");
            SourceFile { path: path.into(), room, text }
        })
        .collect()
}

/// The rooms that a file names by `crate::room` or `imagedepot::room`, with the line.
fn rooms_used(file: &SourceFile) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for prefix in ["crate::", "imagedepot::"] {
            for (start, _) in code.match_indices(prefix) {
                let rest = &code[start + prefix.len()..];
                used.extend(first_names(rest).into_iter().map(|name| (number + 1, name)));
            }
        }
    }
    used
}

/// `a` of `a::b`, and `a` and `c` of `{a::b, c}`; a group stands on one line at the crate's root.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut depth = 0;
    let mut names = Vec::new();
    for part in group.split(',') {
        if depth == 0 {
            names.push(name(part));
        }
        depth += part.matches('{').count();
        depth = depth.saturating_sub(part.matches('}').count());
    }
    names
}

#[test]
fn no_room_uses_a_higher_one() {
    let level = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    for file in source_files() {
        for (line, used) in rooms_used(&file) {
            let allowed = match (level(&file.room), level(&used)) {
                (Some(own), Some(other)) => other <= own,
                // What stands beside the line (wire, access, config) may be used from above the
                // model; the side room's own list keeps it from pointing back.
                (Some(own), None) => own > 0 || used == file.room,
                (None, _) => side_room_may_use(&file.room, &used),
            };
            if !allowed {
                wrong.push(format!("src/{}:{line} uses {used}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn side_room_may_use(room: &str, used: &str) -> bool {
    let list = SIDE_ROOMS.iter().find(|(name, _)| *name == room).map(|(_, list)| *list);
    // `lib`, `config` and `telemetry` have no list: they stand at the bottom or describe the whole.
    room == used || list.is_none_or(|list| list.contains(&used))
}

#[test]
fn every_file_opens_with_what_it_is() {
    let silent: Vec<_> = source_files()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "these do not open with //!: {silent:?}");
}

#[test]
fn the_catalog_speaks_neither_http_nor_sql() {
    for file in source_files().into_iter().filter(|file| file.room == "catalog") {
        for word in ["actix_web", "StatusCode", "sqlx::query", "SELECT ", "INSERT INTO"] {
            assert!(!file.text.contains(word), "src/{} has {word}", file.path.display());
        }
    }
}

#[test]
fn a_room_is_found_in_every_form_of_use() {
    let file = SourceFile {
        path: "x.rs".into(),
        room: "model".to_owned(),
        text: "use crate::{api::{a, b}, storage};\nlet x = crate::server::run(); // crate::main\n"
            .to_owned(),
    };
    let names: Vec<_> = rooms_used(&file).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["api", "storage", "server"]);
}
