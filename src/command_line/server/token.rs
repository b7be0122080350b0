//! `imagedepot token`: API tokens, managed on the catalog itself, also while the server runs.

use std::path::Path;

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;

use super::data::DataArgs;
use super::user::RoleName;
use crate::access::token;
use crate::catalog::accounts::token::{OlderKeys, TokenDraft};
use crate::catalog::{Actor, Catalog, Precondition};
use crate::model::{ApiToken, Role, TokenFilter, TokenName};

/// What is to be done.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a token and print it, alone, on standard output; it is shown this once
    Create {
        name: TokenName,
        /// What its holder may do; may be given several times
        #[arg(long = "role", value_enum, required = true)]
        roles: Vec<RoleName>,
        /// Pattern of images that its holder is confined to; may be given several times
        #[arg(long = "image", value_name = "PATTERN")]
        images: Vec<String>,
        /// How long it is good, such as 30days [default: access.tokens.lifetime]
        #[arg(long, value_name = "DURATION", value_parser = humantime_serde::re::humantime::parse_duration)]
        expires_in: Option<std::time::Duration>,
    },
    /// List tokens
    List {
        /// Revoked ones, too
        #[arg(long)]
        all: bool,
    },
    /// Revoke tokens
    Revoke {
        /// Id or name
        #[arg(value_name = "TOKEN", required_unless_present = "created_by")]
        token: Option<String>,
        /// All that this user made
        #[arg(long, value_name = "NAME", conflicts_with = "token")]
        created_by: Option<String>,
    },
    /// Sign with a new key from now on; tokens of the older keys stay good
    RotateKey {
        /// Void all tokens of the older keys
        #[arg(long)]
        retire: bool,
    },
}

pub async fn run(args: TokenArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let catalog = args.data.open_catalog(file).await?;
    let done = act(&catalog, args.action).await;
    catalog.close().await;
    done
}

async fn act(catalog: &Catalog, action: Action) -> anyhow::Result<()> {
    let actor = Actor::system("command-line");
    match action {
        Action::Create { name, roles, images, expires_in } => {
            let roles = roles.into_iter().map(Role::from).collect();
            let expires_at = expires_in.map(|lifetime| from_now(catalog, lifetime)).transpose()?;
            let draft = TokenDraft { name, roles, images, expires_at, maker_expires_at: None };
            let (made, text) = token::issue(catalog, &actor, draft).await?;
            eprintln!("{} was created and is good until {}", made.id, made.expires_at);
            println!("{}", text.expose_secret());
        }
        Action::List { all } => {
            let which = if all { TokenFilter::All } else { TokenFilter::NotRevoked };
            for token in catalog.tokens(None, which, i64::MAX).await? {
                println!("{}", line(&token, catalog.clock().now())?);
            }
        }
        Action::Revoke { token, created_by } => {
            for token in meant(catalog, token.as_deref(), created_by.as_deref()).await? {
                catalog.revoke_token(&actor, token.id, &Precondition::None).await?;
                println!("{} ({}) was revoked", token.id, token.name);
            }
        }
        Action::RotateKey { retire } => {
            let older = if retire { OlderKeys::Retire } else { OlderKeys::Keep };
            let (key, revoked) =
                catalog.rotate_signing_key(&actor, &token::new_key()?, older).await?;
            println!("tokens are signed with the new key {} from now on", key.id);
            if retire {
                println!("{revoked} tokens of older keys are void");
            }
        }
    }
    Ok(())
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
        None => "good",
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

/// The tokens that are not revoked and go by this id or name, or were made by this user.
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
    tokens.retain(is_meant);
    if tokens.is_empty() {
        bail!("there is no such token, or it was revoked before");
    }
    Ok(tokens)
}
