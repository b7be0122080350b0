//! The tables of `docs/reference.md` say what the program does: rights, states of revisions, answers of the update check.
//! (Metrics and exit codes are compared beside their own tables in the sources.)

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::project::project;
use crate::operations::table::operations;

/// The cells of the table below a heading, without backticks and without the table's head.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(project().join("docs/reference.md")).expect("the reference");
    let start = format!("\n## {heading}\n");
    let section = text.split_once(&start).unwrap_or_else(|| panic!("no {heading}")).1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cell = |cell: &str| cell.trim().replace('`', "");
    lines.map(|line| line.trim_matches('|').split('|').map(cell).collect()).collect()
}

fn schema(name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(project().join("openapi/imagedepot.json"));
    let document: Value = serde_json::from_str(&text.expect("the description")).expect("JSON");
    let values = document["components"]["schemas"][name]["enum"].as_array();
    let values = values.unwrap_or_else(|| panic!("no values of {name}")).iter();
    values.map(|value| value.as_str().expect("text").to_owned()).collect()
}

fn column(rows: &[Vec<String>], index: usize) -> BTreeSet<String> {
    rows.iter().map(|row| row[index].clone()).collect()
}

/// The test of operations calls every one of them with each role.
#[test]
fn each_operation_has_its_least_role() {
    let documented: BTreeSet<_> = rows("Rights by operation")
        .into_iter()
        .map(|row| (format!("{} {}", row[0], row[1]), row[2].clone()))
        .collect();
    let real: BTreeSet<_> = operations()
        .iter()
        .map(|operation| {
            let least = if operation.is_open { "everyone" } else { operation.may[0] };
            (operation.call.to_owned(), least.to_owned())
        })
        .collect();
    let differences: Vec<_> = documented.symmetric_difference(&real).collect();
    assert!(differences.is_empty(), "in the reference or in the program alone: {differences:#?}");
}

#[test]
fn each_state_of_a_revision_has_its_row() {
    assert_eq!(column(&rows("States of a revision"), 0), schema("RevisionState"));
}

#[test]
fn each_answer_of_the_update_check_has_its_row() {
    let answers = rows("Answers of the update check");
    assert_eq!(column(&answers, 0), schema("Action"));
    assert_eq!(column(&answers, 1), schema("Reason"));
}
