//! How doc comments begin: with a noun or a verb, and not with a clause that has to be read twice.

use std::path::{Path, PathBuf};

use crate::harness::project::project;

/// Words that begin a clause without a subject.
const CLAUSES: [&str; 10] =
    ["What", "Whether", "How", "As", "None", "Who", "Where", "Until", "Those", "Since"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first line of each doc comment.
fn first_lines(text: &str) -> Vec<&str> {
    let words = |line: &'_ str| ["/// ", "//! "].iter().any(|start| line.starts_with(start));
    let mut first = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim_start) {
        if words(line) && !inside {
            first.push(&line[4..]);
        }
        inside = line.starts_with("///") || line.starts_with("//!");
    }
    first
}

#[test]
fn doc_comments_begin_with_what_they_are_about() {
    let mut files = Vec::new();
    sources(&project().join("src"), &mut files);
    let (mut all, mut clauses) = (0, Vec::new());
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a source");
        for line in first_lines(&text) {
            all += 1;
            let word = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if CLAUSES.contains(&word) {
                clauses.push(format!("{}: {line}", file.display()));
            }
        }
    }
    assert!(all > 3000, "only {all} doc comments were found");
    assert!(clauses.is_empty(), "{clauses:#?}");
}
