//! The files that a listener's TLS is made from.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use crate::config::{ConfigError, Listener};

/// A list, and the file that it came from.
type RevocationList = (PathBuf, CertificateRevocationListDer<'static>);

/// What was read.
pub(super) struct Material {
    pub certificate: PathBuf,
    pub chain: Vec<CertificateDer<'static>>,
    pub key_file: PathBuf,
    pub key: PrivateKeyDer<'static>,
    /// When the first certificate of the chain ends, seconds since the epoch.
    pub certificate_ends: i64,
    /// Of client certificates, with the file they came from.
    pub authorities: Option<(PathBuf, Arc<RootCertStore>)>,
    pub lists: Vec<RevocationList>,
    /// When the first of the lists is past its next update, seconds since the epoch.
    pub lists_end: Option<i64>,
}

impl Material {
    /// None where the listener speaks plain HTTP.
    pub(super) fn read(listener: &Listener) -> Result<Option<Self>, ConfigError> {
        let (Some(certificate), Some(key_file)) = (&listener.certificate, &listener.key) else {
            return Ok(None);
        };
        let chain = certificates(certificate)?;
        let mut ends = Vec::new();
        for link in &chain {
            ends.push(valid_until(link).map_err(|error| ConfigError::at(certificate, &error))?);
        }
        let key = PrivateKeyDer::from_pem_slice(&read(key_file)?).map_err(|error| {
            ConfigError::at(
                key_file,
                &format!("no private key (PEM, not encrypted) in it: {error}"),
            )
        })?;
        let (lists, lists_end) = lists(&listener.crl)?;
        Ok(Some(Self {
            certificate: certificate.clone(),
            certificate_ends: ends.into_iter().min().unwrap_or_default(),
            chain,
            key_file: key_file.clone(),
            key,
            authorities: listener.client_ca.as_deref().map(authorities).transpose()?,
            lists,
            lists_end,
        }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| ConfigError::at(path, &error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ConfigError::at(path, &error))?;
    if found.is_empty() {
        return Err(ConfigError::at(path, &"no certificate (PEM) in it"));
    }
    Ok(found)
}

fn authorities(path: &Path) -> Result<(PathBuf, Arc<RootCertStore>), ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| ConfigError::at(path, &error))?;
    }
    Ok((path.to_owned(), Arc::new(roots)))
}

/// Authorities publish lists as DER as often as in PEM.
fn lists(paths: &[PathBuf]) -> Result<(Vec<RevocationList>, Option<i64>), ConfigError> {
    let (mut lists, mut ends) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes = read(path)?;
        let found = if bytes.first() == Some(&0x30) {
            vec![CertificateRevocationListDer::from(bytes)]
        } else {
            CertificateRevocationListDer::pem_slice_iter(&bytes)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| ConfigError::at(path, &error))?
        };
        if found.is_empty() {
            return Err(ConfigError::at(path, &"no revocation list (PEM or DER) in it"));
        }
        for list in &found {
            let (_, parsed) = CertificateRevocationList::from_der(list)
                .map_err(|error| ConfigError::at(path, &error))?;
            ends.extend(parsed.next_update().map(|time| time.timestamp()));
        }
        lists.extend(found.into_iter().map(|list| (path.clone(), list)));
    }
    Ok((lists, ends.into_iter().min()))
}

fn valid_until(certificate: &CertificateDer<'_>) -> Result<i64, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    Ok(parsed.validity().not_after.timestamp())
}

/// By what one sees that a listener's files are others than before: a new file under the name, or a new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<[i64; 4]>>);

impl Stamp {
    pub(super) fn of(listener: &Listener) -> Self {
        let Listener { certificate, key, client_ca, crl, .. } = listener;
        let files = [certificate, key, client_ca].into_iter().flatten().chain(crl);
        Self(files.map(|path| fs::metadata(path).ok().as_ref().map(seen)).collect())
    }
}

/// The inode's own time of change counts, too: a tool may set the date of the file that it brings.
fn seen(metadata: &fs::Metadata) -> [i64; 4] {
    let inode = i64::from_ne_bytes(metadata.ino().to_ne_bytes());
    let changed = metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec());
    let written = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
    [inode, changed, written, i64::from_ne_bytes(metadata.size().to_ne_bytes())]
}
