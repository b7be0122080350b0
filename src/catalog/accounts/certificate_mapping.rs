//! Certificate mappings: created, listed, deleted. The snapshot determines which one applies to a certificate.

use serde::Serialize;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Precondition, Result};
use crate::model::certificate_mapping::{Criterion, Outcome, Rules};
use crate::model::{AccountName, Certificate, CertificateMapping, Digest, MappingName};
use crate::storage::{CertificateMappingRecord, Change, Purpose, Tx};

/// A new mapping.
pub struct CertificateMappingDefinition {
    pub name: MappingName,
    pub criterion: CriterionDefinition,
    pub outcome: Outcome,
}

/// The certificates that a mapping applies to.
pub enum CriterionDefinition {
    Certificate(Box<Certificate>),
    /// Without a position, the rules are checked last.
    Rules {
        rules: Rules,
        position: Option<i64>,
    },
}

/// The audit's record of a mapping. Of a certificate, it keeps what people know it by.
#[derive(Serialize)]
struct Shown<'a> {
    user: Option<&'a AccountName>,
    deny: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a Rules>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<i64>,
}

impl CertificateMapping {
    fn shown(&self) -> Shown<'_> {
        let (user, deny) = (self.outcome.user(), self.outcome.denies());
        let (subject, fingerprint, rules, position) = match &self.criterion {
            Criterion::Certificate(certificate) => {
                let fingerprint = Digest::to_string(&certificate.fingerprint());
                (Some(certificate.shown_subject()), Some(fingerprint), None, None)
            }
            Criterion::Rules { rules, position } => (None, None, Some(rules), Some(*position)),
        };
        Shown { user, deny, subject, fingerprint, rules, position }
    }
}

impl Catalog {
    pub async fn create_certificate_mapping(
        &self,
        actor: &Actor,
        definition: CertificateMappingDefinition,
    ) -> Result<CertificateMapping> {
        let CertificateMappingDefinition { name, criterion, outcome } = definition;
        if let CriterionDefinition::Certificate(certificate) = &criterion
            && certificate.is_version_1()
        {
            let why = "X.509 version 1 is not accepted from clients: have one of version 3 issued";
            return Err(Error::invalid("certificate", why));
        }
        // Certificates must be refused however little disk space is left.
        let purpose = if outcome.denies() { Purpose::Freeing } else { Purpose::Change };
        let mut tx = self.db.write_for(purpose).await?;
        // Positions are read to be changed, and the user must not be deleted meanwhile.
        tx.lock_catalog_version().await?;
        if tx.certificate_mapping_by_key(&name.key()).await?.is_some() {
            return Err(Error::NameTaken(name.to_string()));
        }
        let account = match outcome.user() {
            Some(user) => Some(known_user(&mut tx, user).await?),
            None => None,
        };
        let criterion = place(&mut tx, criterion).await?;
        let new = CertificateMappingRecord {
            id: self.ids.next(),
            name: &name,
            criterion: &criterion,
            denies: outcome.denies(),
            account,
            created_by: &actor.name,
            now: self.clock.now(),
        };
        tx.insert_certificate_mapping(&new)
            .await
            .map_err(|error| Error::name_taken(&name, error))?;
        let mapping = known_mapping(&mut tx, &name).await?;
        let entry = entry("certificate_mapping.create", actor, &mapping);
        self.audit(&mut tx, entry, NOTHING, Some(&mapping.shown()));
        self.conclude_mapping(tx).await?;
        Ok(mapping)
    }

    pub async fn certificate_mapping(&self, name: &MappingName) -> Result<CertificateMapping> {
        known_mapping(&mut self.db.read().await?, name).await
    }

    /// Returns the mappings after `after` (a position and a name's key), in the order in which they are checked.
    pub async fn certificate_mappings(
        &self,
        after: (i64, &str),
        limit: i64,
    ) -> Result<Vec<CertificateMapping>> {
        Ok(self.db.read().await?.certificate_mappings_after(after.0, after.1, limit).await?)
    }

    pub async fn delete_certificate_mapping(
        &self,
        actor: &Actor,
        name: &MappingName,
        condition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.lock_catalog_version().await?;
        let mapping = known_mapping(&mut tx, name).await?;
        condition.check(Some(&mapping.tag()))?;
        tx.delete_certificate_mapping(mapping.id).await?;
        if let Criterion::Rules { position, .. } = mapping.criterion {
            tx.move_mappings(position, -1).await?;
        }
        let entry = entry("certificate_mapping.delete", actor, &mapping);
        self.audit(&mut tx, entry, Some(&mapping.shown()), NOTHING);
        self.conclude_mapping(tx).await
    }

    /// Commits a change and refreshes the snapshot, which log-ins are answered from.
    async fn conclude_mapping(&self, mut tx: Tx) -> Result<()> {
        tx.raise_catalog_version(Change::CertificateMappings).await?;
        tx.commit().await?;
        self.refresh().await;
        Ok(())
    }
}

fn entry<'a>(action: &'static str, actor: &'a Actor, mapping: &CertificateMapping) -> Entry<'a> {
    Entry { action, subject: format!("certificate-mappings/{}", mapping.name), actor }
}

async fn known_mapping(tx: &mut Tx, name: &MappingName) -> Result<CertificateMapping> {
    tx.certificate_mapping_by_key(&name.key()).await?.ok_or(Error::CertificateMappingNotFound)
}

async fn known_user(tx: &mut Tx, user: &AccountName) -> Result<uuid::Uuid> {
    let account = tx.account_by_key(&user.key()).await?;
    account.map(|account| account.id).ok_or_else(|| {
        Error::invalid("user", format!("there is no user {user}; create the user first"))
    })
}

/// Determines the position of a new mapping, and moves the ones behind it.
async fn place(tx: &mut Tx, definition: CriterionDefinition) -> Result<Criterion> {
    match definition {
        CriterionDefinition::Certificate(certificate) => {
            match tx.mapping_of_certificate(&certificate).await? {
                Some(other) => Err(Error::CertificateMapped(other)),
                None => Ok(Criterion::Certificate(certificate)),
            }
        }
        CriterionDefinition::Rules { rules, position } => {
            let next = tx.last_mapping_position().await? + 1;
            let position = position.unwrap_or(next);
            if !(1..=next).contains(&position) {
                return Err(Error::invalid("position", format!("must be from 1 to {next}")));
            }
            tx.move_mappings(position, 1).await?;
            Ok(Criterion::Rules { rules, position })
        }
    }
}
