//! Verifies the server's certificates once for all simulated clients.
//!
//! Each real client does this on a machine of its own. Here one process would do it thousands of times a second, for
//! certificates that it has just seen. The server's proof that it has the key is verified in each handshake.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// A verifier for one server that remembers the chain it has accepted.
#[derive(Debug)]
pub struct Remembering {
    verifier: Arc<dyn ServerCertVerifier>,
    accepted: Mutex<Option<Accepted>>,
}

#[derive(Debug)]
struct Accepted {
    name: ServerName<'static>,
    chain: Vec<CertificateDer<'static>>,
}

impl Remembering {
    pub fn new(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        Self { verifier, accepted: Mutex::default() }
    }
}

impl Accepted {
    fn is(&self, own: &CertificateDer, others: &[CertificateDer], name: &ServerName) -> bool {
        self.name == *name && self.chain.iter().eq(std::iter::once(own).chain(others))
    }
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.as_ref().is_some_and(|accepted| accepted.is(own, others, name)) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self.verifier.verify_server_cert(own, others, name, ocsp, now)?;
        let chain = std::iter::once(own).chain(others);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        *accepted = Some(Accepted { name: name.to_owned(), chain });
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::crypto::aws_lc_rs;

    use super::*;

    fn issued(name: &str) -> CertificateDer<'static> {
        let issued = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        issued.cert.der().clone()
    }

    #[test]
    fn only_the_very_same_certificate_for_the_same_server_is_taken_again() {
        let trusted = issued("depot.example");
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = Remembering::new(verifier.build().unwrap());
        let now = UnixTime::now();
        let later = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
        let accepts = |certificate: &CertificateDer, name: &str, now| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            verifier.verify_server_cert(certificate, &[], &name, &[], now).is_ok()
        };
        assert!(!accepts(&trusted, "depot.example", later), "out of date");
        assert!(accepts(&trusted, "depot.example", now));
        assert!(accepts(&trusted, "depot.example", later), "remembered");
        assert!(!accepts(&trusted, "elsewhere.example", now), "another server");
        assert!(!accepts(&issued("depot.example"), "depot.example", now), "another certificate");
    }
}
