//! Verifies a client's certificate with several choices of revocation lists.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertRevocationListError, CertificateError, DigitallySignedStruct, DistinguishedName, Error,
    SignatureScheme,
};

/// A verifier that accepts a certificate if one choice accepts it and no choice reports it as revoked. A list is
/// believed only if the key of the certificate's own authority signed it, so the choice that accepts has the right
/// lists.
#[derive(Debug)]
pub(super) struct AnyChoice {
    choices: Vec<Arc<dyn ClientCertVerifier>>,
}

impl AnyChoice {
    /// Combines choices; there must be at least one.
    pub(super) fn of(choices: Vec<Arc<dyn ClientCertVerifier>>) -> Self {
        Self { choices }
    }

    /// Returns the first choice. The choices differ only in their lists.
    fn first(&self) -> &dyn ClientCertVerifier {
        &*self.choices[0]
    }
}

impl ClientCertVerifier for AnyChoice {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let (mut verified, mut refusal) = (None, None);
        for choice in &self.choices {
            match choice.verify_client_cert(end_entity, intermediates, now) {
                Ok(good) => verified = Some(good),
                Err(revoked @ Error::InvalidCertificate(CertificateError::Revoked)) => {
                    return Err(revoked);
                }
                // This only says that the choice does not have the right list.
                Err(Error::InvalidCertRevocationList(CertRevocationListError::BadSignature))
                    if refusal.is_some() => {}
                Err(error) => refusal = Some(error),
            }
        }
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownRevocationStatus);
        verified.ok_or_else(|| refusal.unwrap_or_else(unknown))
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.first().root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.first().client_auth_mandatory()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first().supported_verify_schemes()
    }
}
