//! `imagedepot certificate-mapping`: maps client certificates to users, over HTTP or directly in the catalog.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::absent;
use super::place::{Place, PlaceArgs};
use crate::api::certificate_mappings::MappingBody;
use crate::catalog::accounts::certificate_mapping::{
    CertificateMappingDefinition, CriterionDefinition,
};
use crate::catalog::{Actor, Catalog, Precondition};
use crate::client::Failure;
use crate::client::daily::certificate_mapping::{self, Action, AddArgs, COLUMNS, tell_added};
use crate::client::output::Output;
use crate::model::certificate_mapping::{Outcome, Rule, Rules};
use crate::model::{Certificate, CertificateMapping};

/// The arguments of `certificate-mapping`. The caller's own name is `--login` here, because `--user` is the user that
/// the certificates stand for.
#[derive(Debug, Args)]
#[command(mut_arg("user", |user| user.long("login")))]
pub struct CertificateMappingArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(subcommand)]
    action: Action,
}

pub async fn run(args: CertificateMappingArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let output = args.place.output;
    match args.place.place(file)? {
        Place::Server(connection) => {
            Ok(certificate_mapping::act(&connection, args.action, output).await?)
        }
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
    match action {
        Action::Add(args) => {
            let mapping = catalog.create_certificate_mapping(&actor, definition(args)?).await?;
            tell_added(&document(mapping)?, output)?;
        }
        Action::List => {
            let mappings = catalog.certificate_mappings((-1, ""), i64::MAX).await?;
            let items = mappings.into_iter().map(document).collect::<anyhow::Result<Vec<_>>>()?;
            output.list(COLUMNS, &items)?;
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

fn definition(args: AddArgs) -> anyhow::Result<CertificateMappingDefinition> {
    let outcome = match args.user {
        Some(user) if !args.deny => Outcome::Allow(user),
        user => Outcome::Deny(user),
    };
    let criterion = if let Some(file) = args.certificate {
        let shown = file.display().to_string();
        let pem = std::fs::read_to_string(&file).with_context(|| shown.clone())?;
        CriterionDefinition::Certificate(Box::new(Certificate::from_pem(&pem).context(shown)?))
    } else {
        let rule = |rule: Value| {
            serde_json::from_value::<Rule>(rule)
                .map_err(|error| Failure::usage(format!("--rule: {error}")))
        };
        let rules = args.rules.iter().map(|written| rule(written.document(args.ignore_case)));
        let rules = Rules::try_from(rules.collect::<Result<Vec<_>, _>>()?)?;
        CriterionDefinition::Rules { rules, position: args.position }
    };
    Ok(CertificateMappingDefinition { name: args.name, criterion, outcome })
}

/// Returns the mapping in the form of the API.
fn document(mapping: CertificateMapping) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(MappingBody::from(mapping))?)
}
