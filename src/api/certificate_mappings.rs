//! `/certificate-mappings`: the users that client certificates stand for.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::conventions::body::{JsonBody, LARGE};
use super::conventions::caller::Caller;
use super::conventions::conditional::{Condition, Resource, Unchanged};
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::Administer;
use crate::catalog::Error;
use crate::catalog::accounts::certificate_mapping::{
    CertificateMappingDefinition, CriterionDefinition,
};
use crate::model::certificate_mapping::{Criterion, Outcome, Rule, RuleField, Rules, WrittenRule};
use crate::model::{AccountName, Certificate, CertificateMapping, MappingName};

/// A rule that maps client certificates to a user, or refuses them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CertificateMapping, example = json!(Self::sample()))]
pub struct MappingBody {
    name: String,
    /// The user that the certificates stand for. If the mapping denies, this is only a note, or null.
    #[schema(required = true)]
    user: Option<String>,
    /// True if the certificates are refused.
    deny: bool,
    /// The certificate of a one-to-one mapping, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    /// The subject's name in the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// The SHA-256 fingerprint of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// The end of the certificate's validity. A renewed certificate is a different one and needs a mapping of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<DateTime<Utc>>,
    /// The rules of a many-to-one mapping, all of which have to match.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<WrittenRule>>,
    /// The position of a mapping with rules, from 1. They are tried in this order, and the first that fits decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<i64>,
    created_by: String,
    created_at: DateTime<Utc>,
}

impl MappingBody {
    fn sample() -> Self {
        let rule = |field, attribute: &str, value: &str| WrittenRule {
            field,
            attribute: attribute.to_owned(),
            r#match: value.to_owned(),
            case_sensitive: true,
        };
        Self {
            name: "sales-pcs".to_owned(),
            user: Some("sales".to_owned()),
            deny: false,
            certificate: None,
            subject: None,
            issuer: None,
            fingerprint: None,
            not_after: None,
            rules: Some(vec![
                rule(RuleField::Issuer, "CN", "Example PC CA"),
                rule(RuleField::Subject, "OU", "Sales*"),
            ]),
            position: Some(1),
            created_by: sample::ADMIN.to_owned(),
            created_at: sample::time("2026-01-05T09:30:00Z"),
        }
    }
}

impl From<CertificateMapping> for MappingBody {
    fn from(mapping: CertificateMapping) -> Self {
        let mut body = Self {
            name: mapping.name.to_string(),
            user: mapping.outcome.user().map(ToString::to_string),
            deny: mapping.outcome.denies(),
            certificate: None,
            subject: None,
            issuer: None,
            fingerprint: None,
            not_after: None,
            rules: None,
            position: None,
            created_by: mapping.created_by,
            created_at: mapping.created_at,
        };
        match mapping.criterion {
            Criterion::Certificate(certificate) => {
                body.certificate = Some(certificate.to_pem());
                body.subject = Some(certificate.shown_subject());
                body.issuer = Some(certificate.shown_issuer());
                body.fingerprint = Some(certificate.fingerprint().to_string());
                body.not_after = Some(certificate.not_after());
            }
            Criterion::Rules { rules, position } => {
                body.rules = Some(Vec::from(rules).into_iter().map(WrittenRule::from).collect());
                body.position = Some(position);
            }
        }
        body
    }
}

/// A new mapping, either with a certificate or with rules.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CertificateMappingToCreate, example = json!({
    "name": "sales-pcs", "user": "sales",
    "rules": [{"field": "subject", "attribute": "OU", "match": "Sales*"}]
}))]
pub struct NewMapping {
    #[schema(value_type = String, format = "mapping-name")]
    name: MappingName,
    /// An existing user; may be omitted if the mapping denies.
    #[schema(value_type = Option<String>, format = "user-name")]
    user: Option<AccountName>,
    /// Refuse these certificates, whatever mappings come after this one.
    #[serde(default)]
    deny: bool,
    /// The client's certificate in PEM, without its chain.
    certificate: Option<String>,
    /// The rules, 1 to 20, all of which have to match.
    #[schema(min_items = 1, max_items = 20)]
    rules: Option<Vec<WrittenRule>>,
    /// The position among the mappings with rules, from 1; the last one if omitted.
    #[schema(minimum = 1)]
    position: Option<i64>,
}

impl NewMapping {
    fn definition(self) -> Result<CertificateMappingDefinition, Error> {
        let outcome = match (self.deny, self.user) {
            (true, user) => Outcome::Deny(user),
            (false, Some(user)) => Outcome::Allow(user),
            (false, None) => {
                return Err(Error::invalid("user", "name the user, or set deny"));
            }
        };
        let criterion = match (self.certificate, self.rules) {
            (Some(_), None) if self.position.is_some() => {
                let reason =
                    "only mappings with rules have a position; single certificates come first";
                return Err(Error::invalid("position", reason));
            }
            (Some(pem), None) => {
                let certificate = Certificate::from_pem(&pem);
                let certificate =
                    certificate.map_err(|error| Error::invalid("certificate", error))?;
                CriterionDefinition::Certificate(Box::new(certificate))
            }
            (None, Some(written)) => {
                CriterionDefinition::Rules { rules: read_rules(written)?, position: self.position }
            }
            _ => {
                let reason = "give either a certificate or rules";
                return Err(Error::invalid("certificate", reason));
            }
        };
        Ok(CertificateMappingDefinition { name: self.name, criterion, outcome })
    }
}

fn read_rules(written: Vec<WrittenRule>) -> Result<Rules, Error> {
    let mut rules = Vec::with_capacity(written.len());
    for (index, rule) in written.into_iter().enumerate() {
        let rule = Rule::try_from(rule);
        rules.push(
            rule.map_err(|error| Error::invalid("rules", format!("rule {}: {error}", index + 1)))?,
        );
    }
    Rules::try_from(rules).map_err(|error| Error::invalid("rules", error))
}

/// List certificate mappings
#[utoipa::path(tag = "access", operation_id = "list_certificate_mappings", params(PageQuery),
    description = "Returns the mappings in the order of their use: single certificates first, then rules by position.",
    responses((status = 200, description = "A page of mappings", body = Page<MappingBody>), ReadRefusals)
)]
#[get("/certificate-mappings")]
pub async fn list(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
) -> Result<Page<MappingBody>, Problem> {
    caller.sees_all_images()?;
    let (position, key) = page.position::<(i64, String)>()?.unwrap_or((-1, String::new()));
    let found = depot.catalog.certificate_mappings((position, &key), page.fetch()?).await?;
    let place = |mapping: &CertificateMapping| (mapping.criterion.position(), mapping.name.key());
    page.page(found, place, Into::into)
}

/// Map certificates to a user
///
/// Maps one certificate, or all certificates whose names match every rule. A mapping of a single certificate takes
/// precedence over rules. Among mappings with rules, the first that fits decides: it admits the caller as its user, or
/// denies. Takes effect at once.
#[utoipa::path(tag = "access", operation_id = "create_certificate_mapping", request_body = NewMapping,
    responses((status = 201, description = "The mapping", body = MappingBody), ChangeRefusals)
)]
#[post("/certificate-mappings")]
pub async fn create(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    new: JsonBody<NewMapping, LARGE>,
) -> Result<Resource<MappingBody>, Problem> {
    caller.sees_all_images()?;
    let definition = new.read()?.definition()?;
    let mapping = depot.catalog.create_certificate_mapping(&caller.actor(), definition).await?;
    let location = format!("/api/v1/certificate-mappings/{}", mapping.name);
    Ok(Resource::created(mapping.tag(), location, mapping.into()))
}

/// Show a certificate mapping
#[utoipa::path(tag = "access", operation_id = "get_certificate_mapping",
    description = "Returns the mapping, with an `ETag` for a conditional deletion.",
    params(("name" = String, Path, description = "The mapping's name")),
    responses((status = 200, description = "The mapping", body = MappingBody), Unchanged, ReadRefusals)
)]
#[get("/certificate-mappings/{name}")]
pub async fn show(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<MappingName>,
) -> Result<Resource<MappingBody>, Problem> {
    caller.sees_all_images()?;
    let mapping = depot.catalog.certificate_mapping(&name).await?;
    Ok(Resource::tagged(mapping.tag(), mapping.into()))
}

/// Delete a certificate mapping
///
/// Afterwards the next mapping that fits decides about its certificates; if there is none, they stand for nobody. The
/// mappings behind it move up.
#[utoipa::path(tag = "access", operation_id = "delete_certificate_mapping",
    params(("name" = String, Path, description = "The mapping's name")),
    responses((status = 204, description = "The mapping is deleted"), ChangeRefusals)
)]
#[delete("/certificate-mappings/{name}")]
pub async fn delete(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<MappingName>,
    condition: Condition,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    depot.catalog.delete_certificate_mapping(&caller.actor(), &name, &condition.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
