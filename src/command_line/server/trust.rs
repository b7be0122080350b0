//! `imagedepot trust`: the keys and the root of the tree's signed metadata, directly in the catalog, also while servers run.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::data::DataArgs;
use crate::catalog::trust::rotation::RotatedRole;
use crate::catalog::trust::status::TrustStatus;
use crate::catalog::{Actor, Catalog};
use crate::client::output::Output;
use crate::client::{Exit, Failure};

/// The arguments of `trust`.
#[derive(Debug, Args)]
pub struct TrustArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the keys, the newest files and when they expire
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
    let catalog = args.data.open_catalog(file).await?;
    let done = act(&catalog, args.action, output).await;
    catalog.close().await;
    done
}

async fn act(catalog: &Catalog, action: Action, output: Output) -> anyhow::Result<()> {
    match action {
        Action::Show => {
            let status = catalog.trust_status().await?;
            output.result(&text(&status), &serde_json::to_value(&status)?)?;
        }
        Action::ExportRoot { out } => {
            let status = catalog.trust_status().await?;
            write_new(&out, &status.root_file)?;
            let said = format!("root {} is in {}", status.root_version, out.display());
            let document = json!({"root_version": status.root_version, "path": out});
            output.result(&said, &document)?;
        }
        Action::Rotate { role } => {
            let role = role.into();
            let version = catalog.rotate_trust_key(&Actor::system("command-line"), role).await?;
            let said = format!("root {version} names the new key; clients follow by themselves");
            output.result(&said, &json!({"root_version": version}))?;
        }
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
        lines.push(format!(
            "{:<9}  version {}, expires {}, {} of {} keys here: {}",
            role.role,
            role.version,
            role.expires.format("%Y-%m-%dT%H:%M:%SZ"),
            role.keys_here,
            role.keys.len(),
            role.keys.join(", ")
        ));
    }
    lines.join("\n")
}
