//! Client certificates: whom a mapping takes them for.
//!
//! That a certificate is genuine the TLS handshake has found out, here or at a trusted proxy.

use super::{Denied, Identity, WayIn};
use crate::catalog::Snapshot;
use crate::model::Certificate;
use crate::model::certificate_mapping::Outcome;

/// Finds out whom the certificate stands for. No mapping further down takes over where the first that fits
/// leads to a user who is disabled.
pub fn judge(snapshot: &Snapshot, der: &[u8]) -> Result<Identity, Denied> {
    // As the handshake here has it, where a proxy let one in.
    if Certificate::from_der(der).is_ok_and(|certificate| certificate.is_version_1()) {
        return Err(Denied::CertificateUnreadable);
    }
    let mapping =
        snapshot.certificate_mappings().deciding(der).map_err(|_| Denied::CertificateUnreadable)?;
    match mapping.map(|mapping| &mapping.outcome) {
        None => Err(Denied::CertificateNotMapped),
        Some(Outcome::Deny(_)) => Err(Denied::CertificateRefused),
        Some(Outcome::Allow(user)) => {
            let account = snapshot.account(user).filter(|account| !account.disabled);
            let account = account.ok_or(Denied::CertificateOfDisabled)?;
            Ok(Identity::user(account.clone(), WayIn::Certificate))
        }
    }
}

/// A certificate in few words, for the log.
pub fn describe(der: &[u8]) -> String {
    match Certificate::from_der(der) {
        Ok(certificate) => format!(
            "{} issued by {}, {}",
            certificate.shown_subject(),
            certificate.shown_issuer(),
            certificate.fingerprint()
        ),
        Err(malformed) => format!("{} bytes: {malformed}", der.len()),
    }
}
