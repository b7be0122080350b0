//! A backup lies where others may write. Whatever its rows say, `restore` refuses it by name, or it does no harm: nothing outside
//! of store and tree is read, written or served.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::folder::files_below;
use crate::harness::{Database, Depot, is_long_run, sample};

/// The content of a file outside of the backup, which belongs to no image.
const CANARY: &[u8] = b"the canary's own bytes";

/// A value's place in a line: the names and numbers that lead to it.
type Place = Vec<Value>;

/// A catalog with rows of all kinds.
async fn depot_with_everything(place: &Path) {
    let depot = Depot::on(Database::Sqlite).setting("tree", "grace", "0s").start().await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    for seed in 1..4 {
        let revision = if seed == 1 {
            admin.publish_single("linux", "qcow2", &sample::bytes(seed, 5_000)).await;
            1
        } else {
            let revision = admin.draft("linux").await;
            let bytes = sample::bytes(seed, 5_000);
            admin.put_file("linux", revision, "image", &bytes).await.expecting(201);
            admin.seal("linux", revision).await.expecting(200);
            revision
        };
        let order = json!({"revision": revision, "note": "a note", "rollout": {"percent": 100}});
        admin.post("/api/v1/images/linux/channels/test/promote").json(&order).await;
        admin.promote("linux", "production", revision).await.expecting(200);
    }
    admin.post("/api/v1/images/linux/channels/production/rollback").await.expecting(200);
    admin.revoke("linux", 3).await;
    admin.delete("/api/v1/images/win7-office/channels/production").await.expecting(200);
    let user = json!({"name": "kim", "password": "a password of some length", "roles": ["publisher"], "images": ["win*"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    let token = json!({"name": "ci", "roles": ["reader"]});
    admin.post("/api/v1/tokens").json(&token).await.expecting(201);
    let mapping = json!({"name": "all", "precedence": 1, "pattern": "CN=*", "account": "kim"});
    admin.post("/api/v1/certificate-mappings").json(&mapping).await;
    let mut command = imagedepot(["backup", "--to"]);
    command.arg(place).arg("--data").arg(depot.server.data()).envs(depot.environment());
    run(command).await.successful();
}

/// A backup, to be changed one value at a time.
struct Backup {
    place: PathBuf,
    rows: PathBuf,
    lines: Vec<Value>,
}

impl Backup {
    async fn take(folder: &Path) -> Self {
        let place = folder.join("backup");
        depot_with_everything(&place).await;
        let of_kind = |ending: &str| {
            let mut files = files_below(&place.join("catalogs")).into_keys();
            let name = files.find(|name| name.ends_with(ending)).expect("a file of it");
            place.join("catalogs").join(name)
        };
        let rows = of_kind(".jsonl");
        let text = std::fs::read_to_string(&rows).expect("the rows");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
        Self { place, rows, lines }
    }

    /// The first value of each column, and of each place within a JSON column.
    fn values(&self) -> Vec<(usize, Place)> {
        let mut seen = BTreeSet::new();
        let mut values = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            let Some(table) = line["table"].as_str() else { continue };
            let mut found = Vec::new();
            collect(&line["row"], &mut vec!["row".into()], &mut found);
            for place in found {
                if seen.insert(format!("{table} {place:?}")) {
                    values.push((number, place));
                }
            }
        }
        values
    }

    /// Writes the changed rows with a note whose digest and size are right, as somebody who knows the format would.
    fn write(&self, changes: &[(usize, Place, Value)]) {
        let mut lines = self.lines.clone();
        for (number, place, value) in changes {
            *at(&mut lines[*number], place) = value.clone();
        }
        let mut text = String::new();
        for line in lines {
            writeln!(text, "{line}").expect("write to a string");
        }
        std::fs::write(&self.rows, &text).expect("write the rows");
        let note_file = self.rows.with_extension("json");
        let note = std::fs::read(&note_file).expect("the note");
        let mut note: Value = serde_json::from_slice(&note).expect("the note");
        note["catalog"] = json!({"digest": sample::digest(text.as_bytes()), "size": text.len()});
        std::fs::write(&note_file, note.to_string()).expect("write the note");
    }

    async fn restore(&self, data: &Path) -> Finished {
        let mut command = imagedepot(["restore", "--from"]);
        command.arg(&self.place).arg("--data").arg(data);
        run(command).await
    }
}

fn collect(value: &Value, place: &mut Place, found: &mut Vec<Place>) {
    let mut inner = |key: Value, value: &Value| {
        place.push(key);
        collect(value, place, found);
        place.pop();
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| inner(k.as_str().into(), v)),
        Value::Array(items) => items.iter().take(1).for_each(|item| inner(0.into(), item)),
        Value::Null | Value::Bool(_) => {}
        Value::Number(_) | Value::String(_) => found.push(place.clone()),
    }
}

fn at<'a>(line: &'a mut Value, place: &Place) -> &'a mut Value {
    place.iter().fold(line, |value, key| match key {
        Value::String(name) => &mut value[name.as_str()],
        _ => &mut value[0],
    })
}

/// Returns the replacements for a value: numbers out of range, texts that lead elsewhere or steer a terminal.
fn changes(value: &Value, canary: &Path) -> Vec<Value> {
    if value.is_number() {
        return vec![json!(1_u64 << 53), json!(-1), json!(i64::MAX)];
    }
    let absolute = canary.display().to_string();
    vec![json!("../../../canary"), json!(absolute), json!("a\u{1b}[31mb")]
}

fn files_outside(folder: &Path) -> Vec<String> {
    files_below(folder).into_keys().filter(|name| !name.starts_with("depots/")).collect()
}

/// The server that has this backup answers, and nothing of what is outside.
async fn must_be_harmless(backup: &Backup, folder: &Path, accepted: &[(usize, Place, Value)]) {
    backup.write(accepted);
    let outside = files_outside(folder);
    let home = folder.join("depots");
    std::fs::create_dir_all(&home).expect("a folder for its data");
    let place = backup.place.display().to_string();
    let depot = Depot::on(Database::Sqlite)
        .data_on(&home)
        .after(&["restore", "--from", &place])
        .start()
        .await;
    let admin = depot.admin();
    for list in ["images", "channels", "users", "tokens", "certificate-mappings", "audit"] {
        let page = admin.get(&format!("/api/v1/{list}?limit=500")).await;
        assert!(page.status < 500, "{list}: {}", page.text());
    }
    for image in ["win7-office", "linux"] {
        for list in ["revisions", "promotions"] {
            let page = admin.get(&format!("/api/v1/images/{image}/{list}?limit=500")).await;
            assert!(page.status < 500, "{list}: {}", page.text());
        }
        for revision in 1..4 {
            let path = format!("/api/v1/images/{image}/revisions/{revision}/files/image");
            let file = admin.get(&path).await;
            assert!(file.status != 200 || !file.body.starts_with(CANARY), "{path}");
        }
    }
    drop(depot);
    assert_eq!(files_outside(folder), outside);
    assert_eq!(std::fs::read(folder.join("canary")).expect("the canary"), CANARY);
    std::fs::remove_dir_all(home).expect("its data");
}

#[tokio::test]
async fn no_row_of_a_backup_leads_out_of_store_and_tree() {
    let folder = tempfile::tempdir().expect("a folder");
    let canary = folder.path().join("canary");
    std::fs::write(&canary, CANARY).expect("the canary");
    let backup = Backup::take(folder.path()).await;
    let values = backup.values();
    assert!(values.len() > 100, "every table has rows: {} columns", values.len());
    // A change of its kind for each value; all of them in the long run.
    let kinds = if is_long_run() { 3 } else { 1 };
    for kind in 0..kinds {
        let mut accepted = Vec::new();
        for (number, place) in &values {
            let mut line = backup.lines[*number].clone();
            let change = changes(at(&mut line, place), &canary).swap_remove(kind);
            let changed = (*number, place.clone(), change);
            backup.write(std::slice::from_ref(&changed));
            let data = folder.path().join("data");
            let restored = backup.restore(&data).await;
            let _none_if_refused = std::fs::remove_dir_all(&data);
            if restored.code == 0 {
                accepted.push(changed);
            } else {
                let table = line["table"].as_str().expect("a table");
                assert!(!restored.stderr.contains("panicked"), "{place:?}: {}", restored.stderr);
                assert!(restored.stderr.contains(table), "{table} {place:?}: {}", restored.stderr);
            }
        }
        must_be_harmless(&backup, folder.path(), &accepted).await;
    }
}
