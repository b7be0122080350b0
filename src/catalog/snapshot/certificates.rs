//! Certificate mappings in memory, and the choice of the one that applies to a certificate.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::certificate::MalformedCertificate;
use crate::model::certificate_mapping::Criterion;
use crate::model::{Certificate, CertificateMapping, Digest};

/// All mappings at one moment.
#[derive(Default)]
pub struct CertificateMappings {
    by_fingerprint: HashMap<Digest, Arc<CertificateMapping>>,
    /// The mappings by rules, in the order in which they are checked.
    by_rules: Vec<Arc<CertificateMapping>>,
}

impl CertificateMappings {
    /// Takes mappings in their order.
    pub(super) fn new(mappings: Vec<CertificateMapping>) -> Self {
        let mut made = Self::default();
        for mapping in mappings.into_iter().map(Arc::new) {
            match &mapping.criterion {
                Criterion::Certificate(certificate) => {
                    made.by_fingerprint.insert(certificate.fingerprint(), mapping);
                }
                Criterion::Rules { .. } => made.by_rules.push(mapping),
            }
        }
        made
    }

    /// Returns the mapping that applies: the certificate's own, or else the first one whose rules all hold.
    ///
    /// A certificate with a mapping of its own was parsed when that was created. Other certificates are parsed here.
    pub fn deciding(
        &self,
        der: &[u8],
    ) -> Result<Option<&Arc<CertificateMapping>>, MalformedCertificate> {
        if let Some(own) = self.by_fingerprint.get(&Digest::of(der)) {
            return Ok(Some(own));
        }
        let certificate = Certificate::from_der(der)?;
        Ok(self.by_rules.iter().find(|mapping| mapping.criterion.holds(&certificate)))
    }
}
