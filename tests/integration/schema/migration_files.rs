//! The migrations as they are written: that each only adds, and how to take them back.
//!
//! Read from their text, so that a new file is held to the rule of `migrations/README.md` without being listed anywhere.

use std::collections::BTreeSet;

use crate::harness::project::project;

/// One statement. There are no other kinds: a server of the version before reads and writes beside it.
#[derive(Debug, PartialEq, Eq)]
pub enum Statement {
    CreateTable { table: String },
    AddColumn { table: String, column: String, rest: String },
    CreateIndex { index: String, table: String, columns: String, is_unique: bool },
    Insert { table: String },
}

/// A file with its number and its statements.
pub struct Migration {
    number: i64,
    statements: Vec<String>,
}

/// All of them, in their order.
pub fn migrations() -> Vec<Migration> {
    let folder = project().join("migrations");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).expect("the migrations") {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".sql") else { continue };
        let (number, _) = stem.split_once('_').expect("0001_what_it_does.sql");
        let text = std::fs::read_to_string(&path).expect("text");
        found.push(Migration {
            number: number.parse().expect("a number"),
            statements: statements_of(&text),
        });
    }
    found.sort_unstable_by_key(|migration| migration.number);
    found
}

/// Without comments, in lower case, with one space between words.
fn statements_of(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let statements = code.join("\n").to_lowercase();
    statements.split(';').map(words).filter(|statement| !statement.is_empty()).collect()
}

/// Returns what a statement adds, or none if it does anything else.
fn read(statement: &str) -> Option<Statement> {
    let word = |text: &str| text.split([' ', '(']).next().unwrap_or_default().to_owned();
    if let Some(rest) = statement.strip_prefix("create table ") {
        return Some(Statement::CreateTable { table: word(rest) });
    }
    if let Some(rest) = statement.strip_prefix("insert into ") {
        return Some(Statement::Insert { table: word(rest) });
    }
    if let Some(rest) = statement.strip_prefix("alter table ") {
        let (table, rest) = rest.split_once(" add column ")?;
        let (column, rest) = rest.split_once(' ')?;
        return Some(Statement::AddColumn {
            table: table.to_owned(),
            column: column.to_owned(),
            rest: rest.to_owned(),
        });
    }
    let is_unique = statement.starts_with("create unique index ");
    let rest = statement.strip_prefix("create ")?.trim_start_matches("unique ");
    let (index, rest) = rest.strip_prefix("index ")?.split_once(" on ")?;
    let (table, columns) = rest.split_once('(')?;
    Some(Statement::CreateIndex {
        index: index.to_owned(),
        table: table.trim().to_owned(),
        columns: columns.to_owned(),
        is_unique,
    })
}

/// Why a migration is none that servers of the version before can live with; none where they can.
fn objection(statements: &[String]) -> Option<String> {
    let (mut tables, mut columns) = (BTreeSet::new(), BTreeSet::new());
    for text in statements {
        let refuse = |why: &str| Some(format!("{why}: {text}"));
        match read(text) {
            None => return refuse("it does something else than add"),
            Some(Statement::CreateTable { table }) => {
                tables.insert(table);
            }
            Some(Statement::AddColumn { table, column, rest }) => {
                if rest.contains("not null") && !rest.contains(" default ") {
                    return refuse("the version before writes no such column");
                }
                columns.insert((table, column));
            }
            Some(Statement::CreateIndex { table, columns: of, is_unique, .. }) => {
                let is_new =
                    columns.iter().any(|(on, column)| *on == table && of.contains(column.as_str()));
                if is_unique && !tables.contains(&table) && !is_new {
                    return refuse("the version before may write the same twice");
                }
            }
            Some(Statement::Insert { table }) if !tables.contains(&table) => {
                return refuse("the version before does not know such a row");
            }
            Some(Statement::Insert { .. }) => {}
        }
    }
    None
}

/// The statements that make a catalog what it was before the migrations behind `number`.
pub fn back_to(number: i64) -> Vec<String> {
    let later = migrations().into_iter().filter(|migration| migration.number > number);
    let added: Vec<String> = later.flat_map(|migration| migration.statements).collect();
    let mut back: Vec<String> = added.iter().rev().filter_map(|text| undo(text)).collect();
    back.push(format!("delete from _sqlx_migrations where version > {number}"));
    back
}

fn undo(statement: &str) -> Option<String> {
    Some(match read(statement).unwrap_or_else(|| panic!("{statement}")) {
        Statement::CreateTable { table } => format!("drop table {table}"),
        Statement::AddColumn { table, column, .. } => {
            format!("alter table {table} drop column {column}")
        }
        Statement::CreateIndex { index, .. } => format!("drop index {index}"),
        // It goes with its table.
        Statement::Insert { .. } => return None,
    })
}

#[test]
fn every_migration_only_adds_what_servers_of_the_version_before_can_do_without() {
    let migrations = migrations();
    assert!(migrations.len() >= 12, "{} files", migrations.len());
    for (place, Migration { number, statements }) in (1..).zip(&migrations) {
        assert_eq!(*number, place, "numbers follow one another");
        assert!(!statements.is_empty(), "{number:04} does nothing");
        assert_eq!(objection(statements), None, "{number:04}, see migrations/README.md");
    }
}

#[test]
fn what_changes_or_takes_away_is_no_migration() {
    for text in [
        "drop table job;",
        "alter table image rename column kind to sort;",
        "alter table image drop column kind;",
        "alter table image alter column kind type bigint;",
        "alter table image add column colour text not null;",
        "create unique index image_kind on image (kind);",
        "update image set kind = 'medv';",
        "delete from image;",
        "insert into image (id) values (1);",
        "drop index image_changed; create index image_changed on image (version);",
    ] {
        assert!(objection(&statements_of(text)).is_some(), "{text}");
    }
    let text = "-- A comment; with a semicolon.\nalter table image add column colour text;\n\
                alter table image add column weight bigint not null default 0;\n\
                create unique index image_colour on image (colour);\n\
                create table t (id bigint primary key); insert into t (id) values (1);";
    assert_eq!(objection(&statements_of(text)), None);
}
