//! Client certificates: the users that mappings assign to them.
//!
//! The TLS handshake, here or at a trusted proxy, has already verified that a certificate is genuine.

use super::{AuthenticationMethod, Denied, Identity};
use crate::catalog::Snapshot;
use crate::model::Certificate;
use crate::model::certificate_mapping::Outcome;

/// Identifies the user that the certificate stands for. If the first mapping that fits leads to a disabled user, no
/// later mapping takes its place.
pub fn judge(snapshot: &Snapshot, der: &[u8]) -> Result<Identity, Denied> {
    // The same rule as in this server's own handshake, in case a proxy accepted such a certificate.
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
            Ok(Identity::user(account.clone(), AuthenticationMethod::Certificate))
        }
    }
}

/// Describes a certificate in a few words, for the log.
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
