//! `imagedepot certificate-mapping` over HTTP. The same commands work on the catalog itself in `command_line`, which
//! uses the arguments and the table of this file.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::absent;
use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::Column;
use super::call::CallArgs;
use super::change::Change;
use super::pages::{ListArgs, items};
use crate::model::{AccountName, MappingName};

/// The arguments of `certificate-mapping` in the client's build. The caller's own name is `--login` here, because
/// `--user` is the user that the certificates stand for.
#[derive(Debug, clap::Args)]
#[command(mut_arg("user", |user| user.long("login")))]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Map one certificate, or all that match every rule, to a user, or deny them
    Add(AddArgs),
    /// List mappings in the order in which they are tried
    List,
    /// Remove a mapping
    Remove {
        /// Name of the mapping
        name: MappingName,
    },
}

#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// Name of the new mapping
    pub name: MappingName,
    // The flag of the caller's own name has the id `user`.
    /// User that the certificates stand for
    #[arg(
        id = "mapped_user",
        long = "user",
        value_name = "USER",
        required_unless_present = "deny"
    )]
    pub user: Option<AccountName>,
    /// Refuse the certificates, even if a later mapping would accept them
    #[arg(long)]
    pub deny: bool,
    /// File with the client's certificate (PEM)
    #[arg(long, value_name = "FILE", required_unless_present = "rules", conflicts_with = "rules")]
    pub certificate: Option<PathBuf>,
    /// Name that the certificate must have, such as 'subject.OU=Sales*', 'issuer.CN=…', 'san.dns=…'; may be given
    /// several times, and then all must match
    #[arg(long = "rule", value_name = "RULE")]
    pub rules: Vec<RuleText>,
    /// Compare names without regard to case
    #[arg(long, requires = "rules")]
    pub ignore_case: bool,
    /// Position at which the rules are tried, from 1 [default: last]
    #[arg(long, requires = "rules")]
    pub position: Option<i64>,
}

/// A rule as it is written on the command line, `subject.OU=Sales*`. The server knows which attributes there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText {
    field: String,
    attribute: String,
    pattern: String,
}

impl FromStr for RuleText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unlike = || {
            format!("{text:?} does not have the form subject.OU=Sales*, issuer.CN=… or san.dns=…")
        };
        let (place, pattern) = text.split_once('=').ok_or_else(unlike)?;
        let (field, attribute) = place.split_once('.').ok_or_else(unlike)?;
        if !["subject", "issuer", "san"].contains(&field) {
            return Err(unlike());
        }
        let [field, attribute, pattern] = [field, attribute, pattern].map(str::to_owned);
        Ok(Self { field, attribute, pattern })
    }
}

impl RuleText {
    /// Returns the rule in the form of the API.
    pub fn document(&self, ignore_case: bool) -> Value {
        let Self { field, attribute, pattern } = self;
        json!({"field": field, "attribute": attribute, "match": pattern, "case_sensitive": !ignore_case})
    }
}

pub const COLUMNS: &[Column] = &[
    Column::text("MAPPING", |mapping| cell::text(&mapping["name"])),
    Column::number("POSITION", |mapping| cell::text(&mapping["position"])),
    Column::text("USER", outcome),
    Column::text("CERTIFICATES", certificates),
];

fn outcome(mapping: &Value) -> String {
    if mapping["deny"] == true { "denied".to_owned() } else { cell::text(&mapping["user"]) }
}

/// Returns the names that a certificate must have, or the subject and the fingerprint of the only one.
fn certificates(mapping: &Value) -> String {
    let Some(rules) = mapping["rules"].as_array() else {
        return format!(
            "{} {}",
            cell::text(&mapping["subject"]),
            cell::text(&mapping["fingerprint"])
        );
    };
    let rule = |rule: &Value| {
        let [field, attribute, pattern] =
            ["field", "attribute", "match"].map(|name| cell::text(&rule[name]));
        let case = if rule["case_sensitive"] == false { " (any case)" } else { "" };
        format!("{field}.{attribute}={pattern}{case}")
    };
    rules.iter().map(rule).collect::<Vec<_>>().join(" and ")
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
    let mappings = connection.api(&["certificate-mappings"])?;
    match action {
        Action::Add(args) => {
            let new = args.document()?;
            let made: Value = connection.post_for(mappings, Some(&new)).await?;
            tell_added(&made, output)
        }
        Action::List => {
            output.list(COLUMNS, &items(connection, mappings, ListArgs::default()).await?)
        }
        Action::Remove { name } => {
            let mapping = connection.api(&["certificate-mappings", name.as_str()])?;
            if let Err(failure) = connection.delete(mapping).await {
                let name = name.as_str();
                return Err(absent::certificate_mapping(connection, failure, name).await);
            }
            output.result(&format!("{name} was removed"), &json!({"name": name}))
        }
    }
}

/// Tells which mapping was added.
pub fn tell_added(mapping: &Value, output: Output) -> Result<(), Failure> {
    let name = cell::text(&mapping["name"]);
    let meant = format!("{}: {}", certificates(mapping), outcome(mapping));
    output.result(&format!("{name} was added ({meant})"), mapping)
}

impl AddArgs {
    fn document(&self) -> Result<Value, Failure> {
        let certificate = match &self.certificate {
            Some(file) => {
                let pem = std::fs::read_to_string(file);
                Some(pem.map_err(|error| Failure::local("read", file, &error))?)
            }
            None => None,
        };
        let rules: Vec<_> = self.rules.iter().map(|rule| rule.document(self.ignore_case)).collect();
        Ok(Change::default()
            .with("name", Some(self.name.as_str()))
            .with("user", self.user.as_ref().map(AccountName::as_str))
            .with("deny", self.deny.then_some(true))
            .with("certificate", certificate)
            .with("rules", (!rules.is_empty()).then_some(rules))
            .with("position", self.position)
            .into_document())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_a_part_of_the_certificate_and_a_pattern() {
        let rule: RuleText = "issuer.CN=A=B".parse().unwrap();
        let document =
            json!({"field": "issuer", "attribute": "CN", "match": "A=B", "case_sensitive": false});
        assert_eq!(rule.document(true), document);
        for text in ["CN=x", "subject.CN", "other.CN=x"] {
            assert!(text.parse::<RuleText>().is_err(), "{text}");
        }
    }
}
