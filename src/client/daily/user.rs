//! `imagedepot user` over HTTP. The same commands work on the catalog itself in `command_line`, which uses the arguments
//! and the table of this file.

use clap::Subcommand;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::super::absent;
use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::new_password;
use super::super::output::Output;
use super::super::table::Column;
use super::call::CallArgs;
use super::change::Change;
use super::pages::{ListArgs, items};
use super::role::{RoleName, names};
use crate::model::AccountName;

/// The arguments of `user` in the client's build.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create a user; the password is read from `IMAGEDEPOT_NEW_PASSWORD` or standard input
    Add {
        /// Name of the new user
        name: AccountName,
        /// Role of the user; may be given several times
        #[arg(long = "role", value_enum, required = true)]
        roles: Vec<RoleName>,
        /// Pattern of images that the user may access; may be given several times [default: all images]
        #[arg(long = "image", value_name = "PATTERN")]
        images: Vec<String>,
    },
    /// Set a user's password; it is read from `IMAGEDEPOT_NEW_PASSWORD` or standard input
    Passwd {
        /// Name of the user
        name: AccountName,
    },
    /// Disable a user: log-ins are refused from now on
    Disable {
        /// Name of the user
        name: AccountName,
    },
    /// Enable a disabled user again
    Enable {
        /// Name of the user
        name: AccountName,
    },
    /// Set the roles of a user
    Roles {
        /// Name of the user
        name: AccountName,
        /// All roles of the user, which replace the previous ones
        #[arg(value_enum, value_name = "ROLE", required = true)]
        roles: Vec<RoleName>,
    },
    /// Set the images that a user may access
    Images {
        /// Name of the user
        name: AccountName,
        /// All patterns of images that the user may access, which replace the previous ones
        #[arg(value_name = "PATTERN", required_unless_present = "all")]
        patterns: Vec<String>,
        /// Let the user access all images again
        #[arg(long, conflicts_with = "patterns")]
        all: bool,
    },
    /// List users
    List,
    /// Delete a user
    Delete {
        /// Name of the user
        name: AccountName,
    },
}

pub const COLUMNS: &[Column] = &[
    Column::text("USER", |user| cell::text(&user["name"])),
    Column::text("ROLES", |user| cell::text(&user["roles"])),
    Column::text("IMAGES", |user| scope(&user["images"])),
    Column::text("DISABLED", |user| cell::text(&user["disabled"])),
    Column::text("CHANGED", |user| cell::time(&user["updated_at"])),
];

/// Returns the patterns of the images that a caller is confined to.
pub fn scope(patterns: &Value) -> String {
    if patterns.as_array().is_some_and(Vec::is_empty) {
        return "all".to_owned();
    }
    cell::text(patterns)
}

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        act(&connection, args.action, output).await
    };
    output.unless_failed(done.await)
}

/// Carries out the command on a server.
pub async fn act(connection: &Connection, action: Action, output: Output) -> Result<(), Failure> {
    let change = Change::default();
    let (name, change, sentence) = match action {
        Action::Add { name, roles, images } => {
            return add(connection, &name, &roles, images, output).await;
        }
        Action::List => {
            let users = connection.api(&["users"])?;
            let users = items(connection, users, ListArgs::default()).await?;
            return output.list(COLUMNS, &users);
        }
        Action::Delete { name } => {
            let gone = connection.delete(connection.api(&["users", name.as_str()])?).await;
            if let Err(failure) = gone {
                return Err(absent::user(connection, failure, name.as_str()).await);
            }
            return output.result(&format!("{name} was deleted"), &json!({"name": name}));
        }
        Action::Passwd { name } => {
            must_be_known(connection, &name).await?;
            let password = new_password::read()?;
            let change = change.with("password", Some(password.expose_secret()));
            (name, change, "has a new password")
        }
        Action::Disable { name } => (name, change.with("disabled", Some(true)), "is disabled"),
        Action::Enable { name } => (name, change.with("disabled", Some(false)), "is enabled"),
        Action::Roles { name, roles } => {
            (name, change.with("roles", Some(names(&roles))), "has new roles")
        }
        Action::Images { name, patterns, all: _ } => {
            (name, change.with("images", Some(patterns)), "has a new scope of images")
        }
    };
    let user = connection.api(&["users", name.as_str()])?;
    match change.send(connection, user).await {
        Ok(user) => output.result(&format!("{name} {sentence}"), &user),
        Err(failure) => Err(absent::user(connection, failure, name.as_str()).await),
    }
}

async fn add(
    connection: &Connection,
    name: &AccountName,
    roles: &[RoleName],
    images: Vec<String>,
    output: Output,
) -> Result<(), Failure> {
    let password = new_password::read()?;
    let new = json!({
        "name": name, "password": password.expose_secret(), "roles": names(roles), "images": images,
    });
    let user: Value = connection.post_for(connection.api(&["users"])?, Some(&new)).await?;
    output.result(&format!("{name} was created"), &user)
}

/// Fails if there is no such user; called before a person is asked for a password.
async fn must_be_known(connection: &Connection, name: &AccountName) -> Result<(), Failure> {
    let user = connection.get::<Value>(connection.api(&["users", name.as_str()])?).await;
    match user {
        Ok(_) => Ok(()),
        Err(failure) => Err(absent::user(connection, failure, name.as_str()).await),
    }
}
