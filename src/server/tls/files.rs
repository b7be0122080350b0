//! The files from which a listener's TLS is built.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::revocation::{Authorities, RevocationList, newest};
use crate::config::{ConfigError, Listener};
use crate::model::pem::{self, Content, Section};

/// The contents of the files.
pub(super) struct Material {
    pub certificate: PathBuf,
    pub chain: Vec<CertificateDer<'static>>,
    pub key_file: PathBuf,
    pub key: PrivateKeyDer<'static>,
    /// The time when the first certificate of the chain expires, in seconds since the epoch.
    pub certificate_ends: i64,
    /// The authorities of client certificates, if these are required.
    pub authorities: Option<Authorities>,
}

impl Material {
    /// Reads the files; returns none if the listener speaks plain HTTP.
    pub(super) fn read(
        listener: &Listener,
        provider: &CryptoProvider,
    ) -> Result<Option<Self>, ConfigError> {
        let (Some(certificate), Some(key_file)) = (&listener.certificate, &listener.key) else {
            return Ok(None);
        };
        let chain = certificates(certificate)?;
        let mut ends = Vec::new();
        for link in &chain {
            ends.push(valid_until(link).map_err(|error| ConfigError::at(certificate, &error))?);
        }
        let read = |path: &PathBuf| authorities(path, &listener.crl, provider);
        Ok(Some(Self {
            certificate: certificate.clone(),
            certificate_ends: ends.into_iter().min().unwrap_or_default(),
            chain,
            key: private_key(key_file)?,
            key_file: key_file.clone(),
            authorities: listener.client_ca.as_ref().map(read).transpose()?,
        }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| ConfigError::at(path, &error))
}

/// Returns the sections of a file. A file in DER counts as one section with the given label, because Windows and
/// authorities write DER as often as PEM.
fn sections(path: &Path, label: &str) -> Result<Vec<Section>, ConfigError> {
    let bytes = read(path)?;
    if is_der(&bytes) {
        return Ok(vec![Section {
            label: label.to_owned(),
            content: Content::Der(bytes),
            line: 1,
        }]);
    }
    pem::sections(&bytes).map_err(|error| ConfigError::at(path, &error))
}

/// Reports whether bytes are DER: every certificate, key and list begins with a sequence, and no PEM text does.
fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let bytes = read(path)?;
    let bundle = if is_der(&bytes) { Ok(vec![(1, bytes)]) } else { pem::certificates(&bytes) };
    let mut found = Vec::new();
    for (line, der) in bundle.map_err(|error| ConfigError::at(path, &error))? {
        let der = CertificateDer::from(der);
        valid_until(&der)
            .map_err(|error| ConfigError::at(path, &format!("line {line}: {error}")))?;
        found.push(der);
    }
    if found.is_empty() {
        return Err(ConfigError::at(path, &"contains no certificate (PEM or DER)"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let wrong = |error: &dyn std::fmt::Display| {
        ConfigError::at(
            path,
            &format!("contains no usable private key (PEM or DER, not encrypted): {error}"),
        )
    };
    let sections = sections(path, "PRIVATE KEY")?;
    let key = sections.into_iter().find(|section| section.label.ends_with("PRIVATE KEY"));
    let Some(Section { label, content, line }) = key else {
        return Err(wrong(&"no `PRIVATE KEY`"));
    };
    match content {
        Content::Der(der) if label != "ENCRYPTED PRIVATE KEY" => {
            PrivateKeyDer::try_from(der).map_err(|error| wrong(&format!("line {line}: {error}")))
        }
        _ => Err(wrong(&format!("line {line}: it has a password (`openssl pkey` removes it)"))),
    }
}

fn authorities(
    path: &Path,
    lists: &[PathBuf],
    provider: &CryptoProvider,
) -> Result<Authorities, ConfigError> {
    let certificates = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| ConfigError::at(path, &error))?;
    }
    let mut found = Vec::new();
    for list in lists {
        let read = |der| RevocationList::read(list.clone(), der, &certificates, provider);
        for (line, der) in revocation_lists(list)? {
            let wrong = |error| ConfigError::at(list, &format!("line {line}: {error}"));
            found.push(read(der).map_err(wrong)?);
        }
    }
    Ok(Authorities { path: path.to_owned(), roots: Arc::new(roots), lists: newest(found) })
}

/// Reads a file's revocation lists, each with the line on which it begins.
fn revocation_lists(
    path: &Path,
) -> Result<Vec<(usize, CertificateRevocationListDer<'static>)>, ConfigError> {
    let mut found = Vec::new();
    for Section { label, content, line } in sections(path, "X509 CRL")? {
        let (Content::Der(der), "X509 CRL" | "CRL") = (content, label.as_str()) else {
            let what = format!("line {line}: `{label}` is not a revocation list (`X509 CRL`)");
            return Err(ConfigError::at(path, &what));
        };
        found.push((line, der.into()));
    }
    if found.is_empty() {
        return Err(ConfigError::at(path, &"contains no revocation list (PEM or DER)"));
    }
    Ok(found)
}

fn valid_until(certificate: &CertificateDer<'_>) -> Result<i64, String> {
    let (rest, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("there is extra data after the certificate".to_owned());
    }
    Ok(parsed.validity().not_after.timestamp())
}

/// The state of a listener's files by which a change is detected: a new file under the name, or new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<[i64; 4]>>);

impl Stamp {
    pub(super) fn of(listener: &Listener) -> Self {
        let Listener { certificate, key, client_ca, crl, .. } = listener;
        let files = [certificate, key, client_ca].into_iter().flatten().chain(crl);
        Self(files.map(|path| fs::metadata(path).ok().as_ref().map(seen)).collect())
    }
}

/// Returns what identifies a file's content. The inode's change time counts, too, because a tool may set the
/// modification time of the file that it installs.
fn seen(metadata: &fs::Metadata) -> [i64; 4] {
    let inode = i64::from_ne_bytes(metadata.ino().to_ne_bytes());
    let changed = metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec());
    let written = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
    [inode, changed, written, i64::from_ne_bytes(metadata.size().to_ne_bytes())]
}
