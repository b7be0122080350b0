//! Decides which revocation lists count, and whether one of them revokes a client's certificate.
//!
//! Authorities publish a new list before the old one expires, so a folder of lists may contain both. Of one authority's
//! lists the newest counts: by its number (RFC 5280, section 5.2.3), then by its time of issue. A list belongs to the
//! key that signed it: an authority that was renewed with a new key under its old name has two lists that count. The
//! library consults only the first list of a name, so each choice of keys gets a verifier of its own. nginx (OpenSSL)
//! decides likewise.

mod choices;
mod list;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::config::ConfigError;
pub(super) use list::{RevocationList, newest};
use verifier::AnyChoice;

/// The authorities and lists with which client certificates are verified.
pub(super) struct Authorities {
    /// The file that the authorities were read from.
    pub path: PathBuf,
    pub roots: Arc<RootCertStore>,
    pub lists: Vec<RevocationList>,
}

impl Authorities {
    /// Returns the earliest next update of the lists that count, in seconds since the epoch.
    pub(super) fn lists_end(&self) -> Option<i64> {
        self.lists.iter().filter_map(|list| list.next_update).min()
    }

    /// Builds the verifier. It checks revocation along the whole chain, because a revoked intermediate authority
    /// revokes everything that it signed. It refuses an authority without a list and a list past its next update, as
    /// nginx and IIS do: otherwise anyone who can block the delivery of a list could go on with a stolen certificate.
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
        for list in &self.lists {
            self.verifier_with(provider, vec![list.der.clone()]).map_err(|error| {
                let what = format!(
                    "not a usable revocation list (it must be X.509 version 2, have a number, and be a complete list of \
                     its authority, not a delta): {error}"
                );
                ConfigError::at(&list.file, &what)
            })?;
        }
        let choices = choices::of_keys(&self.lists).ok_or_else(|| {
            ConfigError::at(
                &self.path,
                &"too many authorities have revocation lists of several keys",
            )
        })?;
        let mut verifiers = Vec::new();
        for lists in choices {
            let ders = lists.iter().map(|list| list.der.clone()).collect();
            let verifier = self.verifier_with(provider, ders);
            verifiers.push(verifier.map_err(|error| ConfigError::at(&self.path, &error))?);
        }
        Ok(match <[_; 1]>::try_from(verifiers) {
            Ok([only]) => only,
            Err(several) => Arc::new(AnyChoice::of(several)),
        })
    }

    fn verifier_with(
        &self,
        provider: &Arc<CryptoProvider>,
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Arc<dyn ClientCertVerifier>, rustls::server::VerifierBuilderError> {
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(provider))
            .with_crls(lists)
            .enforce_revocation_expiration()
            .build()
    }
}
