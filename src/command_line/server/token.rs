//! `imagedepot token`: manages API tokens directly in the catalog, also while the server runs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::data::DataArgs;
use super::secret_file;
use super::user::RoleName;
use crate::access::token;
use crate::api::tokens::TokenBody;
use crate::catalog::accounts::token::{OlderKeys, TokenDefinition};
use crate::catalog::{Actor, Catalog, Precondition};
use crate::client::nearest::absent;
use crate::client::output::{Output, complain};
use crate::client::{Exit, Failure};
use crate::model::{ApiToken, Role, TokenFilter, TokenName};

/// The arguments of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a token and print it alone on standard output; it is shown only this once
    Create(CreateArgs),
    /// List tokens
    List {
        /// Include revoked tokens
        #[arg(long)]
        all: bool,
    },
    /// Revoke a token, or all tokens that a user created
    Revoke {
        /// Id or name of the token
        #[arg(value_name = "TOKEN", required_unless_present = "created_by")]
        token: Option<String>,
        /// Revoke all tokens that this user created
        #[arg(long, value_name = "NAME", conflicts_with = "token")]
        created_by: Option<String>,
    },
    /// Sign with a new key from now on; tokens of older keys stay valid
    RotateKey {
        /// Revoke all tokens of older keys
        #[arg(long)]
        retire: bool,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Name of the token
    name: TokenName,
    /// Role of the token; may be given several times
    #[arg(long = "role", value_enum, required = true)]
    roles: Vec<RoleName>,
    /// Pattern of images that the token gives access to; may be given several times [default: all images]
    #[arg(long = "image", value_name = "PATTERN")]
    images: Vec<String>,
    /// Lifetime of the token, such as 30days [default: access.tokens.lifetime]
    #[arg(long, value_name = "DURATION", value_parser = humantime_serde::re::humantime::parse_duration)]
    expires_in: Option<std::time::Duration>,
    /// Write the token to this new file instead, which only its owner can read
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub async fn run(args: TokenArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let catalog = args.data.open_catalog(file).await?;
    let done = act(&catalog, args.action, args.data.output).await;
    catalog.close().await;
    done
}

async fn act(catalog: &Catalog, action: Action, output: Output) -> anyhow::Result<()> {
    let actor = Actor::system("command-line");
    match action {
        Action::Create(args) => create(catalog, &actor, args, output).await?,
        Action::List { all } => {
            let which = if all { TokenFilter::All } else { TokenFilter::NotRevoked };
            let tokens = catalog.tokens(None, which, i64::MAX).await?;
            let now = catalog.clock().now();
            let lines: anyhow::Result<Vec<_>> =
                tokens.iter().map(|token| line(token, now)).collect();
            let items: Vec<_> = tokens.into_iter().map(TokenBody::from).collect();
            output.list(&lines?, &items)?;
        }
        Action::Revoke { token, created_by } => {
            let mut lines = Vec::new();
            let meant = meant(catalog, token.as_deref(), created_by.as_deref()).await?;
            for token in &meant {
                catalog.revoke_token(&actor, token.id, &Precondition::None).await?;
                lines.push(format!("{} ({}) was revoked", token.id, token.name));
            }
            let revoked: Vec<_> = meant.iter().map(|token| token.id).collect();
            output.result(&lines.join("\n"), &json!({"revoked": revoked}))?;
        }
        Action::RotateKey { retire } => {
            let older = if retire { OlderKeys::Retire } else { OlderKeys::Keep };
            let (key, revoked) =
                catalog.rotate_signing_key(&actor, &token::new_key()?, older).await?;
            let signed = format!("tokens are signed with the new key {} from now on", key.id);
            let void = retire.then(|| format!("{revoked} tokens of older keys were revoked"));
            let lines: Vec<_> = [signed].into_iter().chain(void).collect();
            output.result(&lines.join("\n"), &json!({"signing_key": key.id, "void": revoked}))?;
        }
    }
    Ok(())
}

async fn create(
    catalog: &Catalog,
    actor: &Actor,
    args: CreateArgs,
    output: Output,
) -> anyhow::Result<()> {
    let CreateArgs { name, roles, images, expires_in, out } = args;
    let roles = roles.into_iter().map(Role::from).collect();
    let expires_at = expires_in.map(|lifetime| from_now(catalog, lifetime)).transpose()?;
    let definition = TokenDefinition { name, roles, images, expires_at, maker_expires_at: None };
    // The file comes first: otherwise there could be a valid token that nobody has seen.
    let file = out.as_deref().map(secret_file::create).transpose()?;
    let issued = token::issue(catalog, actor, definition).await;
    let (made, text) = match (issued, &out) {
        (Err(error), Some(path)) => {
            secret_file::take_away(path);
            return Err(error.into());
        }
        (issued, _) => issued?,
    };
    let shown = if let (Some(file), Some(path)) = (file, &out) {
        secret_file::write(file, path, &text)?;
        complain(&format!("{} was created and is valid until {}", made.id, made.expires_at));
        path.display().to_string()
    } else {
        if output == Output::Text {
            complain(&format!("{} was created and is valid until {}", made.id, made.expires_at));
        }
        secret_file::warn_if_others_may_read();
        text.expose_secret().to_owned()
    };
    let mut document = serde_json::to_value(TokenBody::from(made))?;
    document[if out.is_some() { "file" } else { "token" }] = shown.clone().into();
    Ok(output.result(&shown, &document)?)
}

fn from_now(catalog: &Catalog, lifetime: std::time::Duration) -> anyhow::Result<DateTime<Utc>> {
    let end = TimeDelta::from_std(lifetime)
        .ok()
        .and_then(|lifetime| catalog.clock().now().checked_add_signed(lifetime));
    end.context("--expires-in is too long")
}

fn line(token: &ApiToken, now: DateTime<Utc>) -> anyhow::Result<String> {
    let roles = serde_json::to_string(&token.roles)?;
    let state = match token.revoked_at {
        Some(_) => "revoked",
        None if token.expires_at <= now => "expired",
        None => "valid",
    };
    let used = token.last_used_at.map_or_else(|| "never".to_owned(), |at| at.to_rfc3339());
    Ok(format!(
        "{}\t{}\t{roles}\t{}\t{state}\tby {}\tuntil {}\tused {used}",
        token.id,
        token.name,
        token.images.join(" "),
        token.created_by,
        token.expires_at.to_rfc3339(),
    ))
}

/// Returns the tokens that are not revoked and have this id or name, or were created by this user.
async fn meant(
    catalog: &Catalog,
    token: Option<&str>,
    created_by: Option<&str>,
) -> anyhow::Result<Vec<ApiToken>> {
    let is_meant = |known: &ApiToken| match (token, created_by) {
        (Some(token), _) => {
            token.parse() == Ok(known.id) || known.name.as_str().eq_ignore_ascii_case(token)
        }
        (None, created_by) => Some(known.created_by.as_str()) == created_by,
    };
    let mut tokens = catalog.tokens(None, TokenFilter::NotRevoked, i64::MAX).await?;
    let names: Vec<_> = tokens.iter().map(|token| token.name.to_string()).collect();
    tokens.retain(is_meant);
    if tokens.is_empty() {
        let message = match (token, created_by) {
            (Some(token), _) => {
                let absent = absent("token", token, names);
                format!("{absent} (revoked tokens are not considered)")
            }
            (None, made_by) => {
                format!("there is no unrevoked token that {} created", made_by.unwrap_or_default())
            }
        };
        let failure = Failure::new(Exit::NotFound, message).with_code("token_not_found");
        return Err(failure.into());
    }
    Ok(tokens)
}
