//! Programs that others generate from the committed API description work: each is generated, compiled, and leads an
//! image through its life: made, uploaded (one file whole, one in parts), sealed, promoted, asked for, fetched.
//!
//! `tests/run` installs the generators below cargo's `target/tmp`. Where they lie elsewhere,
//! `IMAGEDEPOT_TEST_VENV` names the virtual environment and `IMAGEDEPOT_TEST_NODE` the folder that
//! holds `node_modules`. `docs/clients.md` says what each generator is known for.

mod go;
mod java;
mod python;
mod rust;
mod typescript;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::actions::{ckm, index};
use crate::harness::command::run;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::{Database, Depot};

const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/imagedepot.json");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// A program of one of the two environments; fails with what to do when it is not installed.
pub fn installed(variable: &str, folder: &str, program: &str) -> PathBuf {
    let root = std::env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder), PathBuf::from);
    let path = root.join(program);
    assert!(
        path.exists(),
        "{} is missing: run tests/run once, which installs it, or name a folder with {variable}",
        path.display()
    );
    path
}

/// A depot, and the image that a program is to lead through its life.
struct Life {
    depot: Depot,
    ckm: PathBuf,
    index: PathBuf,
}

impl Life {
    async fn begin(database: Database) -> Self {
        let depot = Depot::start(database).await;
        let ckm_file = depot.scratch().join("win7-office.ckm");
        let index_file = depot.scratch().join("win7-office.ckm.index");
        std::fs::write(&ckm_file, ckm(1)).expect("write the image");
        std::fs::write(&index_file, index(1)).expect("write the index");
        Self { depot, ckm: ckm_file, index: index_file }
    }

    /// A folder for what is generated.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.depot.scratch().join(name);
        std::fs::create_dir_all(&folder).expect("make a folder");
        folder
    }

    /// Has `program` lead the image, and looks whether what it says is so.
    async fn is_led_by(&self, mut program: Command) {
        program
            .args([&self.depot.server.url(), "admin", ADMIN_PASSWORD])
            .args([&self.ckm, &self.index])
            .env("TMPDIR", self.depot.scratch());
        let told = run(program).await.successful().stdout;
        assert!(told.contains("win7-office 1 is published"), "{told}");

        let admin = self.depot.admin();
        assert_eq!(admin.assignment("win7-office", "production").await["revision"], 1);
        let published = [("win7-office_1.ckm", ckm(1)), ("win7-office_1.ckm.index", index(1))];
        for (file, bytes) in published {
            let fetched = self.depot.anonymous().get_tree(file).await.expecting(200);
            assert!(fetched.body == bytes, "{file} has other bytes than were uploaded");
        }
        let open = admin.get("/api/v1/uploads").await.expecting(200);
        assert_eq!(open.json()["items"], json!([]), "an upload is left open");
    }
}

/// Has openapi-generator write a client.
async fn generate(language: &str, properties: &str, models: &[&str], folder: &Path) {
    let generator = installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/openapi-generator-cli");
    let mut generate = Command::new(generator);
    generate
        .args(["generate", "--generator-name", language, "--input-spec", DESCRIPTION])
        .args(["--additional-properties", properties])
        .args(models)
        .arg("--output")
        .arg(folder);
    let said = run(generate).await.successful();
    // It goes on where names clash, and its client does not compile, or lacks something.
    let text = said.stdout + &said.stderr;
    for fault in ["already defined", "already exists"] {
        assert!(!text.contains(fault), "{text}");
    }
}

fn copy(script: &str, to: PathBuf) {
    std::fs::copy(Path::new(SCRIPTS).join(script), to).expect("copy the script");
}
