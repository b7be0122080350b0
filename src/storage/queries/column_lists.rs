//! Tests that the lists of columns match the tables: a column that a migration adds is read, or listed as one that its
//! record does not need. There are no statements here; the lists are beside those of their tables.

use std::collections::BTreeSet;

use super::accounts::account_columns;
use super::audit::audit_columns;
use super::bits_sessions::bits_session_columns;
use super::certificate_mappings::certificate_mapping_columns;
use super::channels::channel_columns;
use super::deliveries::delivery_columns;
use super::events::event_columns;
use super::fleet_lists::client_record_columns;
use super::images::image_columns;
use super::mirrors::mirror_columns;
use super::promotions::promotion_columns;
use super::publications::publication_columns;
use super::revisions::revision_columns;
use super::statement::columns;
use super::tokens::api_token_columns;
use super::trust::trust_file_columns;
use super::webhooks::webhook_columns;
use crate::storage::{CONNECTIONS, Db};

/// The list of each table, and the columns that its statements use and its record does not have.
const LISTS: [(&str, &str, &[&str]); 16] = [
    ("account", account_columns!(account), &["name_key"]),
    ("api_token", api_token_columns!(api_token), &["name_key"]),
    ("audit", audit_columns!(audit), &[]),
    ("bits_session", bits_session_columns!(bits_session), &[]),
    (
        "certificate_mapping",
        certificate_mapping_columns!(certificate_mapping),
        &["name_key", "fingerprint", "account_id"],
    ),
    ("channel", channel_columns!(channel), &["name_key", "folder_key", "deleted_at"]),
    ("client_record", client_record_columns!(client_record), &["authenticated", "seen_day"]),
    ("delivery", delivery_columns!(delivery), &[]),
    ("event", event_columns!(event), &[]),
    ("image", image_columns!(image), &["name_key", "next_revision", "changed_in"]),
    ("mirror", mirror_columns!(mirror), &["name_key"]),
    ("promotion", promotion_columns!(promotion), &["number"]),
    ("publication", publication_columns!(publication), &[]),
    ("revision", revision_columns!(revision), &[]),
    ("trust_file", trust_file_columns!(trust_file), &["superseded_at", "changed_in"]),
    ("webhook", webhook_columns!(webhook), &["name_key", "secret", "old_secret"]),
];

#[tokio::test]
async fn every_list_has_all_columns_of_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let db = Db::open(&format!("sqlite:{}", path.display()), CONNECTIONS).await.unwrap();
    db.migrate().await.unwrap();
    let Db::Sqlite { readers, .. } = &db else { unreachable!("opened so") };
    for (table, list, beside) in LISTS {
        let sql = "select name from pragma_table_info($1)";
        let known: Vec<String> =
            sqlx::query_scalar(sql).bind(table).fetch_all(readers).await.unwrap();
        let known = BTreeSet::from_iter(known);
        let prefix = format!("{table}.");
        let listed = list.split(", ").map(|column| column.strip_prefix(&prefix).unwrap());
        let expected: BTreeSet<String> =
            listed.chain(beside.iter().copied()).map(str::to_owned).collect();
        assert_eq!(known, expected, "{table}: see storage/queries/{table}s.rs");
    }
}

#[test]
fn no_statement_selects_whatever_columns_there_are() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/storage/queries");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.ends_with("column_lists.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let found = text.lines().find(|line| {
            line.contains("select *") || line.contains(".*, ") || line.contains(".* from")
        });
        assert_eq!(found, None, "{}", path.display());
    }
}
