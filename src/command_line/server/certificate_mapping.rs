//! `imagedepot certificate-mapping`: maps client certificates to users, directly in the catalog.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::absent;
use super::data::DataArgs;
use crate::api::certificate_mappings::MappingBody;
use crate::catalog::accounts::certificate_mapping::{
    CertificateMappingDefinition, CriterionDefinition,
};
use crate::catalog::{Actor, Catalog, Precondition};
use crate::client::output::Output;
use crate::model::certificate_mapping::{Criterion, Outcome, Rule, Rules};
use crate::model::{AccountName, Certificate, CertificateMapping, MappingName};

/// The arguments of `certificate-mapping`.
#[derive(Debug, Args)]
pub struct CertificateMappingArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
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

#[derive(Debug, Args)]
struct AddArgs {
    /// Name of the new mapping
    name: MappingName,
    /// User that the certificates stand for
    #[arg(long, required_unless_present = "deny")]
    user: Option<AccountName>,
    /// Refuse the certificates, even if a later mapping would accept them
    #[arg(long)]
    deny: bool,
    /// File with the client's certificate (PEM)
    #[arg(long, value_name = "FILE", required_unless_present = "rules", conflicts_with = "rules")]
    certificate: Option<PathBuf>,
    /// Name that the certificate must have, such as 'subject.OU=Sales*', 'issuer.CN=…', 'san.dns=…'; may be given
    /// several times, and then all must match
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<Rule>,
    /// Compare names without regard to case
    #[arg(long, requires = "rules")]
    ignore_case: bool,
    /// Position at which the rules are tried, from 1 [default: last]
    #[arg(long, requires = "rules")]
    position: Option<i64>,
}

pub async fn run(args: CertificateMappingArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let catalog = args.data.open_catalog(file).await?;
    let done = act(&catalog, args.action, args.data.output).await;
    catalog.close().await;
    done
}

async fn act(catalog: &Catalog, action: Action, output: Output) -> anyhow::Result<()> {
    let actor = Actor::system("command-line");
    match action {
        Action::Add(args) => {
            let mapping = catalog.create_certificate_mapping(&actor, args.definition()?).await?;
            let sentence = line(&mapping);
            output.result(&sentence, &serde_json::to_value(MappingBody::from(mapping))?)?;
        }
        Action::List => {
            let mappings = catalog.certificate_mappings((-1, ""), i64::MAX).await?;
            let lines: Vec<_> = mappings.iter().map(line).collect();
            let items: Vec<_> = mappings.into_iter().map(MappingBody::from).collect();
            output.list(&lines, &items)?;
        }
        Action::Remove { name } => {
            let gone = catalog.delete_certificate_mapping(&actor, &name, &Precondition::None).await;
            if let Err(error) = gone {
                return Err(absent::named(catalog, error, &name).await);
            }
            output.result(&format!("{name} was removed"), &json!({"name": name}))?;
        }
    }
    Ok(())
}

impl AddArgs {
    fn definition(self) -> anyhow::Result<CertificateMappingDefinition> {
        let outcome = match self.user {
            Some(user) if !self.deny => Outcome::Allow(user),
            user => Outcome::Deny(user),
        };
        let criterion = if let Some(file) = self.certificate {
            let shown = file.display().to_string();
            let pem = std::fs::read_to_string(&file).with_context(|| shown.clone())?;
            CriterionDefinition::Certificate(Box::new(Certificate::from_pem(&pem).context(shown)?))
        } else {
            let rules = self.rules.into_iter();
            let rules =
                rules.map(|rule| if self.ignore_case { rule.ignoring_case() } else { rule });
            let rules = Rules::try_from(rules.collect::<Vec<_>>())?;
            CriterionDefinition::Rules { rules, position: self.position }
        };
        Ok(CertificateMappingDefinition { name: self.name, criterion, outcome })
    }
}

/// Formats a mapping as its name, position, outcome and certificates, separated by tabs.
fn line(mapping: &CertificateMapping) -> String {
    let outcome = match &mapping.outcome {
        Outcome::Allow(user) => user.to_string(),
        Outcome::Deny(_) => "denied".to_owned(),
    };
    let (position, meant) = match &mapping.criterion {
        Criterion::Certificate(certificate) => {
            let (subject, fingerprint) = (certificate.shown_subject(), certificate.fingerprint());
            ("-".to_owned(), format!("{subject} {fingerprint}"))
        }
        Criterion::Rules { rules, position } => {
            let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
            (position.to_string(), rules.join(" and "))
        }
    };
    format!("{}\t{position}\t{outcome}\t{meant}", mapping.name)
}
