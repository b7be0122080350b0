//! `imagedepot token`: manages API tokens, over HTTP or directly in the catalog, also while the server runs. The key that
//! signs them is managed in the catalog only.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::place::{Place, PlaceArgs, catalog_only};
use super::refusal;
use crate::access::token;
use crate::api::tokens::TokenBody;
use crate::catalog::accounts::token::{OlderKeys, TokenDefinition};
use crate::catalog::{Actor, Catalog, Precondition};
use crate::client::Failure;
use crate::client::daily::token::{self as daily, COLUMNS, CreateArgs, show_once, tell_revoked};
use crate::client::output::Output;
use crate::model::{ApiToken, Role, TokenFilter};

/// The arguments of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    #[command(flatten)]
    Daily(daily::Action),
    /// Sign with a new key from now on; tokens of older keys stay valid; works on the catalog only
    RotateKey {
        /// Revoke all tokens of older keys
        #[arg(long)]
        retire: bool,
    },
}

pub async fn run(args: TokenArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let output = args.place.output;
    match (args.place.place(file)?, args.action) {
        (Place::Server(connection), Action::Daily(action)) => {
            Ok(daily::act(&connection, action, output).await?)
        }
        (Place::Server(_), Action::RotateKey { .. }) => {
            Err(catalog_only("token rotate-key").into())
        }
        (Place::Catalog(data), action) => {
            let catalog = data.open_catalog(file).await?;
            let done = act(&catalog, action, output).await;
            catalog.close().await;
            done
        }
    }
}

async fn act(catalog: &Catalog, action: Action, output: Output) -> anyhow::Result<()> {
    let actor = Actor::system("command-line");
    match action {
        Action::Daily(daily::Action::Create(args)) => {
            let out = args.out.clone();
            let issue = async {
                issue(catalog, &actor, args).await.map_err(|error| refusal::failure(&error))
            };
            show_once(out.as_deref(), output, issue).await?;
        }
        Action::Daily(daily::Action::List { all }) => {
            let which = if all { TokenFilter::All } else { TokenFilter::NotRevoked };
            output.list(COLUMNS, &tokens(catalog, which).await?)?;
        }
        Action::Daily(daily::Action::Revoke(which)) => {
            let meant = which.of(tokens(catalog, TokenFilter::NotRevoked).await?)?;
            for token in &meant {
                let id = serde_json::from_value(token["id"].clone())?;
                catalog.revoke_token(&actor, id, &Precondition::None).await?;
            }
            tell_revoked(&meant, output)?;
        }
        Action::RotateKey { retire } => rotate_key(catalog, &actor, retire, output).await?,
    }
    Ok(())
}

async fn issue(
    catalog: &Catalog,
    actor: &Actor,
    args: CreateArgs,
) -> anyhow::Result<(Value, SecretString)> {
    let CreateArgs { name, roles, images, expires_in, out: _ } = args;
    let roles = roles.into_iter().map(Role::from).collect();
    let expires_at = expires_in.map(|lifetime| from_now(catalog, lifetime)).transpose()?;
    let definition = TokenDefinition { name, roles, images, expires_at, maker_expires_at: None };
    let (made, text) = token::issue(catalog, actor, definition).await?;
    Ok((document(made)?, text))
}

fn from_now(catalog: &Catalog, lifetime: std::time::Duration) -> Result<DateTime<Utc>, Failure> {
    let end = TimeDelta::from_std(lifetime)
        .ok()
        .and_then(|lifetime| catalog.clock().now().checked_add_signed(lifetime));
    end.ok_or_else(daily::too_long)
}

async fn rotate_key(
    catalog: &Catalog,
    actor: &Actor,
    retire: bool,
    output: Output,
) -> anyhow::Result<()> {
    let older = if retire { OlderKeys::Retire } else { OlderKeys::Keep };
    let (key, revoked) = catalog.rotate_signing_key(actor, &token::new_key()?, older).await?;
    let signed = format!("tokens are signed with the new key {} from now on", key.id);
    let void = retire.then(|| format!("{revoked} tokens of older keys were revoked"));
    let lines: Vec<_> = [signed].into_iter().chain(void).collect();
    let document = json!({"signing_key": key.id, "void": revoked});
    Ok(output.result(&lines.join("\n"), &document)?)
}

/// Returns all tokens in the form of the API.
async fn tokens(catalog: &Catalog, which: TokenFilter) -> anyhow::Result<Vec<Value>> {
    let tokens = catalog.tokens(None, which, i64::MAX).await?;
    tokens.into_iter().map(document).collect()
}

fn document(token: ApiToken) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(TokenBody::from(token))?)
}
