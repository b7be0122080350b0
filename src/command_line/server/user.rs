//! `imagedepot user`: manages users directly in the catalog, also while the server runs.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;
use serde_json::json;

use super::absent;
use super::data::DataArgs;
use crate::access::password::hash_in_background;
use crate::api::users::UserBody;
use crate::catalog::accounts::account::{AccountChange, AccountDefinition};
use crate::catalog::{Actor, Catalog, Precondition};
use crate::client::Failure;
use crate::client::output::Output;
use crate::config::secret_from_environment;
use crate::model::text_file::without_byte_order_mark;
use crate::model::{Account, AccountName, Role};

/// The arguments of `user`.
#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
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

/// A role as the command line writes it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    Client,
    Reader,
    Publisher,
    Promoter,
    Admin,
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Client => Self::Client,
            RoleName::Reader => Self::Reader,
            RoleName::Publisher => Self::Publisher,
            RoleName::Promoter => Self::Promoter,
            RoleName::Admin => Self::Admin,
        }
    }
}

const NO_PASSWORD: &str = "no password was given: set IMAGEDEPOT_NEW_PASSWORD or IMAGEDEPOT_NEW_PASSWORD_FILE, or write the password to standard input";

pub async fn run(args: UserArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let catalog = args.data.open_catalog(file).await?;
    let done = act(&catalog, args.action, args.data.output).await;
    catalog.close().await;
    done
}

async fn act(catalog: &Catalog, action: Action, output: Output) -> anyhow::Result<()> {
    let actor = Actor::system("command-line");
    let unchanged = AccountChange::default;
    let (name, change, sentence) = match action {
        Action::Add { name, roles, images } => {
            let password_hash = hash_in_background(name.as_str(), new_password()?).await?;
            let roles = roles.into_iter().map(Role::from).collect();
            let definition = AccountDefinition { name, password_hash, roles, images };
            let account = catalog.create_account(&actor, definition).await?;
            return tell(account, "was created", output);
        }
        Action::List => return list(catalog, output).await,
        Action::Delete { name } => {
            let gone = catalog.delete_account(&actor, &name, &Precondition::None).await;
            if let Err(error) = gone {
                return Err(absent::named(catalog, error, &name).await);
            }
            return Ok(output.result(&format!("{name} was deleted"), &json!({"name": name}))?);
        }
        Action::Passwd { name } => {
            must_be_known(catalog, &name).await?;
            let password_hash = Some(hash_in_background(name.as_str(), new_password()?).await?);
            (name, AccountChange { password_hash, ..unchanged() }, "has a new password")
        }
        Action::Disable { name } => {
            (name, AccountChange { disabled: Some(true), ..unchanged() }, "is disabled")
        }
        Action::Enable { name } => {
            (name, AccountChange { disabled: Some(false), ..unchanged() }, "is enabled")
        }
        Action::Roles { name, roles } => {
            let roles = Some(roles.into_iter().map(Role::from).collect());
            (name, AccountChange { roles, ..unchanged() }, "has new roles")
        }
        Action::Images { name, patterns, all: _ } => {
            let change = AccountChange { images: Some(patterns), ..unchanged() };
            (name, change, "has a new scope of images")
        }
    };
    match catalog.change_account(&actor, &name, change, &Precondition::None).await {
        Ok(account) => tell(account, sentence, output),
        Err(error) => Err(absent::named(catalog, error, &name).await),
    }
}

fn tell(account: Account, sentence: &str, output: Output) -> anyhow::Result<()> {
    let sentence = format!("{} {sentence}", account.name);
    Ok(output.result(&sentence, &serde_json::to_value(UserBody::from(account))?)?)
}

async fn list(catalog: &Catalog, output: Output) -> anyhow::Result<()> {
    let (mut lines, mut items) = (Vec::new(), Vec::new());
    for account in catalog.accounts("", i64::MAX).await? {
        let roles = serde_json::to_string(&account.roles)?;
        let state = if account.disabled { " disabled" } else { "" };
        lines.push(format!("{}\t{roles}\t{}{state}", account.name, account.images.join(" ")));
        items.push(UserBody::from(account));
    }
    Ok(output.list(&lines, &items)?)
}

/// Fails if there is no such user; called before a person is asked for a password.
async fn must_be_known(catalog: &Catalog, name: &AccountName) -> anyhow::Result<()> {
    match catalog.account(name).await {
        Ok(_) => Ok(()),
        Err(error) => Err(absent::named(catalog, error, name).await),
    }
}

/// Reads the new password. It is never an argument, because arguments show in process lists.
fn new_password() -> anyhow::Result<SecretString> {
    if let Some(password) = secret_from_environment("IMAGEDEPOT_NEW_PASSWORD")? {
        return Ok(password);
    }
    if std::io::stdin().is_terminal() {
        return Ok(dialoguer::Password::new()
            .with_prompt("New password")
            .with_confirmation("New password again", "the passwords differ")
            .interact()?
            .into());
    }
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text)?;
    let password = without_byte_order_mark(&text).lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::usage(NO_PASSWORD).into());
    }
    Ok(password.to_owned().into())
}
