//! `imagedepot trust`: the keys and the root of the tree's signed metadata, directly in the catalog, also while servers run.
//! What is done with keys that are kept elsewhere is in `client::offline`, because it needs no catalog.

mod init;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::data::DataArgs;
use crate::catalog::trust::refused::Refused;
use crate::catalog::trust::rotation::RotatedRole;
use crate::catalog::trust::status::{RoleStatus, TrustStatus};
use crate::catalog::{Actor, Catalog};
use crate::client::output::Output;
use crate::client::{Exit, Failure, offline};
use crate::trust::carried::Carried;

/// The arguments of `trust`.
#[derive(Debug, Args)]
pub struct TrustArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(subcommand)]
    action: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Catalog(Action),
    #[command(flatten)]
    Offline(offline::Action),
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the keys, the newest files, when they expire, and what waits to be signed elsewhere
    Show,
    /// Write the newest root, which clients have to trust; keep a copy outside of the depot
    ExportRoot {
        /// File to write (created, never replaced)
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Give a role a new key; clients follow by themselves
    Rotate {
        /// Role whose key is replaced; snapshot replaces the timestamp's as well
        role: Role,
        /// File to be signed by the root's keys, where these are kept elsewhere (created, never replaced)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Begin a next root: with keys that are kept elsewhere, with keys in the catalog again, or with the same keys for
    /// another time. It is in force when it is signed and imported
    Init(init::InitArgs),
    /// Write a file of everything that waits to be signed with targets' keys that are kept elsewhere
    Pending {
        /// File to write (created, never replaced)
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Verify a file that was signed elsewhere, and put it in force
    Import {
        /// The signed file; copies that were signed apart are put together
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Root,
    Targets,
    Snapshot,
    Timestamp,
}

impl From<Role> for RotatedRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Root => Self::Root,
            Role::Targets => Self::Targets,
            Role::Snapshot => Self::Snapshot,
            Role::Timestamp => Self::Timestamp,
        }
    }
}

pub async fn run(args: TrustArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let output = args.data.output;
    let action = match args.action {
        Command::Offline(action) => return Ok(offline::act(action, output)?),
        Command::Catalog(action) => action,
    };
    let catalog = args.data.open_catalog(file).await?;
    let done = act(&catalog, action, output).await;
    catalog.close().await;
    done
}

async fn act(catalog: &Catalog, action: Action, output: Output) -> anyhow::Result<()> {
    match action {
        Action::Show => {
            let status = catalog.trust_status().await.map_err(told)?;
            output.result(&text(&status), &serde_json::to_value(&status)?)?;
        }
        Action::ExportRoot { out } => {
            let status = catalog.trust_status().await.map_err(told)?;
            write_new(&out, &status.root_file)?;
            let said = format!("root {} is in {}", status.root_version, out.display());
            let document = json!({"root_version": status.root_version, "path": out});
            output.result(&said, &document)?;
        }
        Action::Rotate { role, out: None } => {
            let rotated = catalog.rotate_trust_key(&actor(), role.into()).await;
            let version = rotated.map_err(told)?;
            let said = format!("root {version} names the new key; clients follow by themselves");
            output.result(&said, &json!({"root_version": version}))?;
        }
        Action::Rotate { role, out: Some(out) } => {
            must_be_free(&out)?;
            let carried = catalog.next_key(&actor(), role.into()).await.map_err(told)?;
            hand_out(&out, &carried, output)?;
        }
        Action::Init(args) => {
            let (out, change) = args.read()?;
            must_be_free(&out)?;
            let carried = catalog.next_root(&actor(), change).await.map_err(told)?;
            hand_out(&out, &carried, output)?;
        }
        Action::Pending { out } => {
            let carried = catalog.trust_pending().await.map_err(told)?;
            hand_out(&out, &carried, output)?;
        }
        Action::Import { files } => import(catalog, &files, output).await?,
    }
    Ok(())
}

fn actor() -> Actor {
    Actor::system("command-line")
}

/// Writes a file that has to be signed elsewhere, and says what to do with it.
fn hand_out(out: &Path, carried: &Carried, output: Output) -> anyhow::Result<()> {
    offline::write_new(out, carried)?;
    let summary = carried.summary();
    let mut lines = summary.lines();
    lines.push(format!(
        "{} is written: sign it where the keys are (`imagedepot trust sign {} --key KEY`), then `imagedepot trust import` it here",
        out.display(),
        out.display()
    ));
    let mut document = serde_json::to_value(&summary)?;
    document["path"] = Value::from(out.display().to_string());
    Ok(output.result(&lines.join("\n"), &document)?)
}

async fn import(catalog: &Catalog, files: &[PathBuf], output: Output) -> anyhow::Result<()> {
    let mut copies = files.iter().map(|file| offline::read(file));
    let mut carried = copies.next().unwrap_or_else(|| Err(Failure::usage("name a file")))?;
    for copy in copies {
        carried.merge(&copy?).map_err(|trouble| offline::refused(&trouble))?;
    }
    let imported = catalog.import_signatures(&actor(), &carried).await.map_err(told)?;
    let waits = if imported.pending {
        "; the depot offers more by now, which waits: `imagedepot trust pending`"
    } else {
        ""
    };
    let (root, files) = (imported.root_version, imported.files);
    let said = format!("root {root} and {files} files of targets are in force{waits}");
    Ok(output.result(&said, &serde_json::to_value(&imported)?)?)
}

/// Returns the failure with the exit code that scripts read.
fn told(refused: Refused) -> anyhow::Error {
    let exit = match &refused {
        Refused::Catalog(_) => return refused.into(),
        Refused::File(trouble) => return offline::refused(trouble).into(),
        Refused::Keys(_) => Exit::Usage,
        Refused::Stale(_) | Refused::Elsewhere(_) | Refused::NothingToSign => Exit::Conflict,
    };
    Failure::new(exit, refused.to_string()).into()
}

/// Fails before anything is changed if the file could not be written in the end.
fn must_be_free(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        let message = format!("{} exists already", path.display());
        return Err(Failure::new(Exit::Conflict, message));
    }
    Ok(())
}

/// Writes a file that is not there yet: a root that somebody relies on is not replaced by accident.
fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let write = || {
        let mut file = std::fs::File::create_new(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::Conflict, format!("{} exists already", path.display()))
        }
        _ => Failure::local("write", path, &error),
    })
}

fn text(status: &TrustStatus) -> String {
    let mut lines = vec![format!("root {}", status.root_version)];
    for role in &status.roles {
        let RoleStatus { role: name, version, threshold, keys_here, keys, .. } = role;
        let expires = role.expires.format("%Y-%m-%dT%H:%M:%SZ");
        let (count, named) = (keys.len(), keys.join(", "));
        let threshold =
            if *threshold > 1 { format!("{threshold} signatures, ") } else { String::new() };
        lines.push(format!(
            "{name:<9}  version {version}, expires {expires}, {threshold}{keys_here} of {count} keys here: {named}"
        ));
        if role.is_elsewhere() {
            let due = role.due_at.format("%Y-%m-%dT%H:%M:%SZ");
            let command = if name == "root" { "init" } else { "pending" };
            lines.push(format!(
                "           signed elsewhere; from {due} on it has to be signed again: `imagedepot trust {command} --out FILE`"
            ));
        }
    }
    if let Some(pending) = &status.pending {
        lines.push(format!(
            "pending    {} files wait to be signed elsewhere ({} targets are new, {} changed, {} gone): `imagedepot trust pending --out FILE`",
            pending.files,
            pending.new.len(),
            pending.changed.len(),
            pending.gone.len()
        ));
    }
    lines.join("\n")
}
