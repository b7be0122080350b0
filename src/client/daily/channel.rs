//! `imagedepot channel`: the channels that revisions are promoted to.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::super::absent;
use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::{Column, record};
use super::call::CallArgs;
use super::change::Change;
use super::pages::{ListArgs, items};
use super::query::{if_set, with};
use super::role::{self, RoleName};

/// The arguments of `channel`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List channels
    List(ListArgs),
    /// Show a channel
    Show {
        /// Name of the channel
        #[arg(value_name = "CHANNEL")]
        name: String,
    },
    /// Create a channel
    Create {
        /// Name of the new channel
        #[arg(value_name = "CHANNEL")]
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change the settings of a channel
    Set {
        /// Name of the channel
        #[arg(value_name = "CHANNEL")]
        name: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        removed: Removed,
    },
    /// Delete a channel
    Delete {
        /// Name of the channel
        #[arg(value_name = "CHANNEL")]
        name: String,
        /// Withdraw the images that are promoted to it
        #[arg(long)]
        withdraw: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Settings {
    /// Folder below the root of the tree; empty for the root itself
    #[arg(long, value_name = "NAME")]
    folder: Option<String>,
    /// Callers that may download from the channel
    #[arg(long, value_parser = ["everyone", "authenticated"])]
    read: Option<String>,
    /// Number of earlier revisions that the folder keeps beside the assigned one
    #[arg(long, value_name = "NUMBER")]
    keep_old: Option<u64>,
    /// Show a revision in the folder while it is still rolled out
    #[arg(long, value_name = "true|false")]
    tree_during_rollout: Option<bool>,
    /// Role, besides promoter and admin, that may promote here; may be given several times
    #[arg(long = "promoter", value_enum, value_name = "ROLE")]
    promoters: Vec<RoleName>,
    /// Channel that a revision must have been assigned to before
    #[arg(long, value_name = "CHANNEL")]
    requires_channel: Option<String>,
    /// Number of other people who must approve a promotion
    #[arg(long, value_name = "NUMBER")]
    approvals: Option<u64>,
    /// Index that the folder has for clients of other systems; may be given several times
    #[arg(long = "index", value_name = "NAME")]
    indexes: Vec<String>,
}

/// The settings to empty.
#[derive(Debug, clap::Args)]
struct Removed {
    /// Let only promoters and admins promote here
    #[arg(long, conflicts_with = "promoters")]
    no_promoters: bool,
    /// Require no other channel
    #[arg(long, conflicts_with = "requires_channel")]
    no_requires_channel: bool,
    /// Have no index in the folder
    #[arg(long, conflicts_with = "indexes")]
    no_indexes: bool,
}

const COLUMNS: &[Column] = &[
    Column::text("CHANNEL", |channel| cell::text(&channel["name"])),
    Column::text("FOLDER", |channel| cell::text(&channel["folder"])),
    Column::text("READ", |channel| cell::text(&channel["read"])),
    Column::number("KEEP OLD", |channel| cell::text(&channel["keep_old"])),
    Column::text("PROMOTERS", |channel| cell::text(&channel["promoters"])),
    Column::text("REQUIRES", |channel| cell::text(&channel["requires_channel"])),
    Column::number("APPROVALS", |channel| cell::text(&channel["approvals"])),
];

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        let name = args.action.channel().map(str::to_owned);
        let done = act(&connection, args.action, output).await;
        match (done, name) {
            (Err(failure), Some(name)) => {
                Err(absent::named(&connection, failure, "", Some(&name)).await)
            }
            (done, _) => done,
        }
    };
    output.unless_failed(done.await)
}

impl Action {
    /// Returns the name of the channel that has to exist.
    fn channel(&self) -> Option<&str> {
        match self {
            Self::List(_) | Self::Create { .. } => None,
            Self::Show { name } | Self::Set { name, .. } | Self::Delete { name, .. } => Some(name),
        }
    }
}

async fn act(connection: &Connection, action: Action, output: Output) -> Result<(), Failure> {
    match action {
        Action::List(length) => {
            output.list(COLUMNS, &items(connection, connection.api(&["channels"])?, length).await?)
        }
        Action::Show { name } => {
            let channel: Value = connection.get(connection.api(&["channels", &name])?).await?;
            output.result(&record(&channel, &["name", "folder", "read"], &[]), &channel)
        }
        Action::Create { name, settings } => {
            let new = Change::default().with("name", Some(name.as_str()));
            let new = new.with_all(settings.fields()).into_document();
            let channel: Value =
                connection.post_for(connection.api(&["channels"])?, Some(&new)).await?;
            output.result(&format!("{name} was created"), &channel)
        }
        Action::Set { name, settings, removed } => {
            let change = Change::default().with_all(settings.fields()).with_all(removed.fields());
            let changed = change.send(connection, connection.api(&["channels", &name])?).await?;
            output.result(&format!("{name} was changed"), &changed)
        }
        Action::Delete { name, withdraw } => {
            let channel = connection.api(&["channels", &name])?;
            connection.delete(with(channel, &[("withdraw", if_set(withdraw))])).await?;
            output.result(&format!("{name} was deleted"), &json!({"name": name}))
        }
    }
}

impl Settings {
    fn fields(self) -> Map<String, Value> {
        let roles = role::names(&self.promoters);
        let change = Change::default()
            .with("folder", self.folder)
            .with("read", self.read)
            .with("keep_old", self.keep_old)
            .with("tree_during_rollout", self.tree_during_rollout)
            .with("promoters", (!roles.is_empty()).then_some(roles))
            .with("requires_channel", self.requires_channel)
            .with("approvals", self.approvals)
            .with("indexes", (!self.indexes.is_empty()).then_some(self.indexes));
        change.into_fields()
    }
}

impl Removed {
    fn fields(&self) -> Map<String, Value> {
        let none = Value::Array(Vec::new());
        Change::default()
            .with("promoters", self.no_promoters.then(|| none.clone()))
            .with("requires_channel", self.no_requires_channel.then_some(Value::Null))
            .with("indexes", self.no_indexes.then_some(none))
            .into_fields()
    }
}
