//! `imagedepot token` over HTTP. The same commands work on the catalog itself in `command_line`, which uses the
//! arguments and the table of this file.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use humantime::{format_rfc3339_seconds, parse_duration};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::exit_code::Exit;
use super::super::nearest::absent;
use super::super::output::{Output, complain};
use super::super::secret_file;
use super::super::table::Column;
use super::call::CallArgs;
use super::change::Change;
use super::moment::Moment;
use super::pages::{ListArgs, items};
use super::query::{SET, with};
use super::role::{RoleName, names};
use super::user::scope;
use crate::model::TokenName;

/// The arguments of `token` in the client's build.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create a token and print it alone on standard output; it is shown only this once
    Create(CreateArgs),
    /// List tokens
    List {
        /// Include revoked tokens
        #[arg(long)]
        all: bool,
    },
    /// Revoke a token, or all tokens that a user created
    Revoke(Revoked),
}

#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// Name of the token
    pub name: TokenName,
    /// Role of the token; may be given several times
    #[arg(long = "role", value_enum, required = true)]
    pub roles: Vec<RoleName>,
    /// Pattern of images that the token gives access to; may be given several times [default: all images]
    #[arg(long = "image", value_name = "PATTERN")]
    pub images: Vec<String>,
    /// Lifetime of the token, such as 30days [default: access.tokens.lifetime]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub expires_in: Option<Duration>,
    /// Write the token to this new file instead, which only its owner can read
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The tokens to revoke.
#[derive(Debug, clap::Args)]
pub struct Revoked {
    // The flag --token of the credentials has the id `token`.
    /// Id or name of the token
    #[arg(id = "revoked", value_name = "TOKEN", required_unless_present = "created_by")]
    token: Option<String>,
    /// Revoke all tokens that this user created
    #[arg(long, value_name = "NAME", conflicts_with = "revoked")]
    created_by: Option<String>,
}

pub const COLUMNS: &[Column] = &[
    Column::id("TOKEN", |token| cell::text(&token["id"])),
    Column::text("NAME", |token| cell::text(&token["name"])),
    Column::text("ROLES", |token| cell::text(&token["roles"])),
    Column::text("IMAGES", |token| scope(&token["images"])),
    Column::text("STATE", |token| state(token).to_owned()),
    Column::text("BY", |token| cell::text(&token["created_by"])),
    Column::text("UNTIL", |token| cell::time(&token["expires_at"])),
    Column::text("USED", |token| cell::time(&token["last_used_at"])),
];

fn state(token: &Value) -> &'static str {
    // Times of the API are in UTC, and so they sort as text.
    let now = format_rfc3339_seconds(SystemTime::now()).to_string();
    if !token["revoked_at"].is_null() {
        "revoked"
    } else if token["expires_at"].as_str().is_some_and(|end| end <= now.as_str()) {
        "expired"
    } else {
        "valid"
    }
}

impl Revoked {
    /// Reports whether a token is to be revoked.
    fn includes(&self, token: &Value) -> bool {
        let field = |name: &str| token[name].as_str().unwrap_or_default();
        match self {
            Self { token: Some(named), .. } => {
                [field("id"), field("name")].iter().any(|own| own.eq_ignore_ascii_case(named))
            }
            Self { created_by, .. } => created_by.as_deref() == Some(field("created_by")),
        }
    }

    /// Returns those of the known tokens that are to be revoked. Fails if there are none.
    pub fn of(&self, known: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let names: Vec<_> = known.iter().map(|token| cell::text(&token["name"])).collect();
        let meant: Vec<_> = known.into_iter().filter(|token| self.includes(token)).collect();
        if !meant.is_empty() {
            return Ok(meant);
        }
        let message = match self {
            Self { token: Some(token), .. } => {
                let absent = absent("token", token, names);
                format!("{absent} (revoked tokens are not considered)")
            }
            Self { created_by, .. } => format!(
                "there is no unrevoked token that {} created",
                created_by.as_deref().unwrap_or_default()
            ),
        };
        Err(Failure::new(Exit::NotFound, message).with_code("token_not_found"))
    }
}

/// Tells which tokens were revoked.
pub fn tell_revoked(revoked: &[Value], output: Output) -> Result<(), Failure> {
    let line = |token: &Value| {
        format!("{} ({}) was revoked", cell::text(&token["id"]), cell::text(&token["name"]))
    };
    let lines: Vec<_> = revoked.iter().map(line).collect();
    let ids: Vec<_> = revoked.iter().map(|token| token["id"].clone()).collect();
    output.result(&lines.join("\n"), &json!({"revoked": ids}))
}

/// Creates a token by `issue`, which returns its document and the token itself, and shows the token this once.
pub async fn show_once(
    out: Option<&Path>,
    output: Output,
    issue: impl Future<Output = Result<(Value, SecretString), Failure>>,
) -> Result<(), Failure> {
    // The file comes first: otherwise there could be a valid token that nobody has seen.
    let file = out.map(secret_file::create).transpose()?;
    let (mut document, token) = match (issue.await, out) {
        (Err(failure), Some(path)) => {
            secret_file::take_away(path);
            return Err(failure);
        }
        (issued, _) => issued?,
    };
    let created = format!(
        "{} was created and is valid until {}",
        cell::text(&document["id"]),
        cell::text(&document["expires_at"])
    );
    let (field, shown) = if let (Some(file), Some(path)) = (file, out) {
        secret_file::write(file, path, &token)?;
        complain(&created);
        ("file", path.display().to_string())
    } else {
        if output == Output::Text {
            complain(&created);
        }
        secret_file::warn_if_others_may_read();
        ("token", token.expose_secret().to_owned())
    };
    document[field] = shown.clone().into();
    output.result(&shown, &document)
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
    let tokens = connection.api(&["tokens"])?;
    match action {
        Action::Create(args) => {
            show_once(args.out.as_deref(), output, issue(connection, &args)).await
        }
        Action::List { all } => {
            let list = with(tokens, &[("revoked", all.then_some(SET))]);
            output.list(COLUMNS, &items(connection, list, ListArgs::default()).await?)
        }
        Action::Revoke(which) => {
            let meant = which.of(items(connection, tokens, ListArgs::default()).await?)?;
            for token in &meant {
                connection.delete(connection.api(&["tokens", &cell::text(&token["id"])])?).await?;
            }
            tell_revoked(&meant, output)
        }
    }
}

async fn issue(
    connection: &Connection,
    args: &CreateArgs,
) -> Result<(Value, SecretString), Failure> {
    let expires_at = match args.expires_in {
        Some(lifetime) => Some(Moment::after(lifetime).ok_or_else(too_long)?),
        None => None,
    };
    let new = Change::default()
        .with("name", Some(args.name.as_str()))
        .with("roles", Some(names(&args.roles)))
        .with("images", Some(args.images.clone()))
        .with("expires_at", expires_at.as_ref())
        .into_document();
    let mut made: Value = connection.post_for(connection.api(&["tokens"])?, Some(&new)).await?;
    match made.as_object_mut().and_then(|made| made.remove("token")) {
        Some(Value::String(token)) => Ok((made, token.into())),
        _ => Err(Failure::unreadable("answer", "it has no token")),
    }
}

/// Returns the refusal of a lifetime that no calendar has.
pub fn too_long() -> Failure {
    Failure::usage("--expires-in is too long")
}
