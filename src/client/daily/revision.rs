//! `imagedepot revision`: the revisions of an image.

use clap::Subcommand;
use serde_json::{Value, json};
use url::Url;

use super::super::absent;
use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::{Column, record, table};
use super::call::CallArgs;
use super::change::Change;
use super::labels::LabelArgs;
use super::pages::{ListArgs, items};
use super::query::{if_set, with};
use super::reach;

/// The arguments of `revision`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the revisions of an image, newest first
    List {
        /// Name of the image
        image: String,
        #[command(flatten)]
        length: ListArgs,
    },
    /// Show a revision with its files
    Show(Revision),
    /// Revoke a revision: no channel can be assigned to it, and clients that have it are told to change
    Revoke(RevokeArgs),
    /// Protect a revision from deletion
    Protect {
        #[command(flatten)]
        revision: Revision,
        /// Remove the protection
        #[arg(long)]
        off: bool,
    },
    /// Change the notes and labels of a revision
    Set {
        #[command(flatten)]
        revision: Revision,
        /// Notes on what is new in this revision
        #[arg(long, value_name = "TEXT")]
        notes: Option<String>,
        #[command(flatten)]
        labels: LabelArgs,
    },
    /// Delete a revision
    Delete {
        #[command(flatten)]
        revision: Revision,
        /// Only report if it could be deleted
        #[arg(long)]
        dry_run: bool,
    },
}

/// A revision, as the command line names it.
#[derive(Debug, clap::Args)]
pub struct Revision {
    /// Name of the image
    pub image: String,
    /// Number of the revision
    #[arg(value_name = "REVISION")]
    pub number: u64,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    #[command(flatten)]
    revision: Revision,
    /// Roll back the channels that are assigned to it
    #[arg(long)]
    rollback: bool,
    /// Withdraw the image from the channels that are assigned to it, if they are not or cannot be rolled back
    #[arg(long)]
    withdraw: bool,
    /// Only report if it could be revoked
    #[arg(long)]
    dry_run: bool,
}

const COLUMNS: &[Column] = &[
    Column::number("REVISION", |revision| cell::text(&revision["number"])),
    Column::text("STATE", |revision| cell::text(&revision["state"])),
    Column::text("PROTECTED", |revision| cell::text(&revision["protected"])),
    Column::number("SIZE", |revision| cell::bytes(&total(revision))),
    Column::text("SEALED", |revision| cell::time(&revision["sealed_at"])),
    Column::text("BY", |revision| cell::text(&revision["created_by"])),
    Column::text("LABELS", |revision| cell::text(&revision["labels"])),
    Column::text("NOTES", |revision| cell::first_line(&revision["notes"])),
];

const FILES: &[Column] = &[
    Column::text("FILE", |file| cell::text(&file["role"])),
    Column::number("SIZE", |file| cell::bytes(&file["size"])),
    Column::text("DIGEST", |file| cell::text(&file["digest"])),
    Column::text("NAME", |file| cell::text(&file["name"])),
];

/// Returns the size of all files of a revision.
fn total(revision: &Value) -> Value {
    let files = revision["files"].as_array().into_iter().flatten();
    files.filter_map(|file| file["size"].as_u64()).sum::<u64>().into()
}

impl Revision {
    fn address(&self, connection: &Connection, more: &[&str]) -> Result<Url, Failure> {
        let number = self.number.to_string();
        connection.api(&[&["images", &self.image, "revisions", &number], more].concat())
    }

    fn document(&self, dry_run: bool) -> Value {
        json!({"image": self.image, "number": self.number, "dry_run": dry_run})
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} revision {}", self.image, self.number)
    }
}

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        let done = act(&connection, &args.action, output).await;
        match done {
            Err(failure) => {
                Err(absent::named(&connection, failure, args.action.image(), None).await)
            }
            done => done,
        }
    };
    output.unless_failed(done.await)
}

impl Action {
    fn image(&self) -> &str {
        match self {
            Self::List { image, .. } => image,
            Self::Show(revision)
            | Self::Revoke(RevokeArgs { revision, .. })
            | Self::Protect { revision, .. }
            | Self::Set { revision, .. }
            | Self::Delete { revision, .. } => &revision.image,
        }
    }
}

async fn act(connection: &Connection, action: &Action, output: Output) -> Result<(), Failure> {
    match action {
        Action::List { image, length } => {
            let list = connection.api(&["images", image, "revisions"])?;
            output.list(COLUMNS, &items(connection, list, *length).await?)
        }
        Action::Show(revision) => show(connection, revision, output).await,
        Action::Revoke(args) => revoke(connection, args, output).await,
        Action::Protect { revision, off } => {
            let change = Change::default().with("protected", Some(!off));
            let changed = change.send(connection, revision.address(connection, &[])?).await?;
            let now = if *off { "may be deleted again" } else { "is protected" };
            output.result(&format!("{revision} {now}"), &changed)
        }
        Action::Set { revision, notes, labels } => {
            let change = Change::default().with("notes", notes.as_deref());
            let address = revision.address(connection, &[])?;
            let changed = change.send_with_labels(connection, address, labels).await?;
            output.result(&format!("{revision} was changed"), &changed)
        }
        Action::Delete { revision, dry_run } => {
            let address = revision.address(connection, &[])?;
            connection.delete(with(address, &[("dry_run", if_set(*dry_run))])).await?;
            let done = if *dry_run { "could be deleted" } else { "was deleted" };
            output.result(&format!("{revision} {done}"), &revision.document(*dry_run))
        }
    }
}

async fn show(connection: &Connection, revision: &Revision, output: Output) -> Result<(), Failure> {
    let document: Value = connection.get(revision.address(connection, &[])?).await?;
    let first = ["image", "number", "state", "protected", "notes", "labels"];
    let mut text = record(&document, &first, &["files"]);
    if let Some(files) = document["files"].as_array().filter(|files| !files.is_empty()) {
        text = format!("{text}\n\n{}", table(FILES, files));
    }
    output.result(&text, &document)
}

async fn revoke(
    connection: &Connection,
    RevokeArgs { revision, rollback, withdraw, dry_run }: &RevokeArgs,
    output: Output,
) -> Result<(), Failure> {
    let address = with(
        revision.address(connection, &["revoke"])?,
        &[
            ("rollback", if_set(*rollback)),
            ("withdraw", if_set(*withdraw)),
            ("dry_run", if_set(*dry_run)),
        ],
    );
    let revoked: Value = connection.post_for(address, None).await?;
    let done = if *dry_run { "could be revoked" } else { "is revoked" };
    output.result(&format!("{revision} {done}{}", reach::of(&revoked)), &revoked)
}
