//! `imagedepot user`: manages users, over HTTP or directly in the catalog, also while the server runs.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::absent;
use super::place::{Place, PlaceArgs};
use crate::access::password::hash_in_background;
use crate::api::users::UserBody;
use crate::catalog::accounts::account::{AccountChange, AccountDefinition};
use crate::catalog::{Actor, Catalog, Precondition};
use crate::client::daily::role::RoleName;
use crate::client::daily::user::{self, Action, COLUMNS};
use crate::client::new_password;
use crate::client::output::Output;
use crate::model::{Account, AccountName, Role};

/// The arguments of `user`.
#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(subcommand)]
    action: Action,
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

pub async fn run(args: UserArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let output = args.place.output;
    match args.place.place(file)? {
        Place::Server(connection) => Ok(user::act(&connection, args.action, output).await?),
        Place::Catalog(data) => {
            let catalog = data.open_catalog(file).await?;
            let done = act(&catalog, args.action, output).await;
            catalog.close().await;
            done
        }
    }
}

async fn act(catalog: &Catalog, action: Action, output: Output) -> anyhow::Result<()> {
    let actor = Actor::system("command-line");
    let unchanged = AccountChange::default;
    let (name, change, sentence) = match action {
        Action::Add { name, roles, images } => {
            let password_hash = hash_in_background(name.as_str(), new_password::read()?).await?;
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
            let password_hash =
                Some(hash_in_background(name.as_str(), new_password::read()?).await?);
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
    Ok(output.result(&sentence, &document(account)?)?)
}

async fn list(catalog: &Catalog, output: Output) -> anyhow::Result<()> {
    let accounts = catalog.accounts("", i64::MAX).await?;
    let items = accounts.into_iter().map(document).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(output.list(COLUMNS, &items)?)
}

/// Returns the user in the form of the API.
fn document(account: Account) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(UserBody::from(account))?)
}

/// Fails if there is no such user; called before a person is asked for a password.
async fn must_be_known(catalog: &Catalog, name: &AccountName) -> anyhow::Result<()> {
    match catalog.account(name).await {
        Ok(_) => Ok(()),
        Err(error) => Err(absent::named(catalog, error, name).await),
    }
}
