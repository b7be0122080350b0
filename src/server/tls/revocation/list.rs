//! A revocation list: who signed it, and how new it is (RFC 5280, section 5).

use std::path::PathBuf;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::extensions::ParsedExtension;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

/// A parsed revocation list.
#[derive(Debug, Clone)]
pub(in crate::server::tls) struct RevocationList {
    /// The file that it was read from.
    pub file: PathBuf,
    pub der: CertificateRevocationListDer<'static>,
    /// The next update in seconds since the epoch, if the list states one.
    pub next_update: Option<i64>,
    pub(super) issuer: Vec<u8>,
    pub(super) signer: Signer,
    /// The part of the authority's certificates that the list covers (`issuingDistributionPoint`); none if it covers
    /// all.
    scope: Option<Vec<u8>>,
    number: BigUint,
    /// The time of issue, in seconds since the epoch.
    made: i64,
}

/// The key that signed a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signer {
    /// A public key of one of the listener's authorities.
    Known(Vec<u8>),
    /// The key identifier that the list names, of an authority whose certificate the clients bring themselves.
    Named(Vec<u8>),
    Unnamed,
}

impl RevocationList {
    /// Parses a list. `authorities` are the certificates whose keys may have signed it.
    pub(in crate::server::tls) fn read(
        file: PathBuf,
        der: CertificateRevocationListDer<'static>,
        authorities: &[CertificateDer<'static>],
        provider: &CryptoProvider,
    ) -> Result<Self, String> {
        let (rest, parsed) =
            CertificateRevocationList::from_der(&der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("there is extra data after the revocation list".to_owned());
        }
        let scope = parsed
            .extensions()
            .iter()
            .find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        Ok(Self {
            next_update: parsed.next_update().map(|time| time.timestamp()),
            issuer: parsed.issuer().as_raw().to_vec(),
            signer: signer(&parsed, authorities, provider),
            scope: scope.map(|extension| extension.value.to_vec()),
            number: parsed.crl_number().cloned().unwrap_or_default(),
            made: parsed.last_update().timestamp(),
            file,
            der,
        })
    }

    /// Reports whether both lists cover the same certificates, so that only the newer one counts.
    fn replaces(&self, other: &Self) -> bool {
        (&self.issuer, &self.signer, &self.scope) == (&other.issuer, &other.signer, &other.scope)
    }

    fn is_newer_than(&self, other: &Self) -> bool {
        (&self.number, self.made) > (&other.number, other.made)
    }
}

/// Returns the lists that count: the newest for each authority, key and scope.
pub(in crate::server::tls) fn newest(lists: Vec<RevocationList>) -> Vec<RevocationList> {
    let mut newest: Vec<RevocationList> = Vec::new();
    for list in lists {
        match newest.iter_mut().find(|other| list.replaces(other)) {
            Some(other) if list.is_newer_than(other) => *other = list,
            Some(_) => (),
            None => newest.push(list),
        }
    }
    newest
}

fn signer(
    list: &CertificateRevocationList<'_>,
    authorities: &[CertificateDer<'static>],
    provider: &CryptoProvider,
) -> Signer {
    for authority in authorities {
        let Ok((_, authority)) = X509Certificate::from_der(authority) else { continue };
        let key = authority.public_key();
        if authority.subject().as_raw() == list.issuer().as_raw()
            && has_signed(&key.subject_public_key.data, list, provider)
        {
            return Signer::Known(key.raw.to_vec());
        }
    }
    let named = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(named) => {
            named.key_identifier.as_ref().map(|key| key.0.to_vec())
        }
        _ => None,
    });
    named.map_or(Signer::Unnamed, Signer::Named)
}

/// Reports whether the key signed the list. All algorithms are tried: any but the right one fails.
fn has_signed(key: &[u8], list: &CertificateRevocationList<'_>, provider: &CryptoProvider) -> bool {
    let (message, signature) = (list.tbs_cert_list.as_ref(), &list.signature_value.data);
    let algorithms = provider.signature_verification_algorithms.all;
    algorithms.iter().any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}
