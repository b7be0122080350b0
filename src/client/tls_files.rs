//! The files of a TLS connection: the authorities that the client trusts, and the certificate that it shows.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::Failure;
use crate::model::pem;

/// The files that arguments and environment name.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// The authorities to trust, in PEM; none stands for the system's.
    pub ca: Option<PathBuf>,
    pub client: Option<ClientFiles>,
}

/// The client's own certificate with its chain, and its key, both in PEM. They may be one file.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads the authorities to trust; none for the system's.
    pub fn trusted(&self) -> Result<Option<Vec<Certificate>>, Failure> {
        let Some(path) = &self.ca else { return Ok(None) };
        let trusted = authorities(path)?.into_iter().map(|(line, der)| {
            Certificate::from_der(&der)
                .map_err(|error| unusable(path, &format!("line {line}: {error}")))
        });
        trusted.collect::<Result<_, _>>().map(Some)
    }

    /// Reads the client's certificate and key, for reqwest.
    pub fn identity(&self) -> Result<Option<Identity>, Failure> {
        let Some(files) = &self.client else { return Ok(None) };
        // Read as `chain` reads them, because reqwest's own message names no file.
        files.chain()?;
        let text = [read(&files.certificate)?, b"\n".to_vec(), read_key(&files.key)?].concat();
        let identity = Identity::from_pem(&text);
        identity.map(Some).map_err(|error| unusable(&files.certificate, &error.to_string()))
    }
}

impl ClientFiles {
    /// Reads the certificate with its chain, and the key, for rustls.
    pub fn chain(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
        let chain = authorities(&self.certificate)?;
        let chain = chain.into_iter().map(|(_, der)| CertificateDer::from(der)).collect();
        let key = PrivateKeyDer::from_pem_slice(&read_key(&self.key)?);
        let no_key = |_| {
            let path = self.key.display();
            Failure::usage(format!("{path} has no usable private key in PEM, without a password"))
        };
        Ok((chain, key.map_err(no_key)?))
    }
}

/// Reads the certificates (DER) of a file, each with the line on which it begins. There is at least one.
pub fn authorities(path: &Path) -> Result<Vec<(usize, Vec<u8>)>, Failure> {
    let found =
        pem::certificates(&read(path)?).map_err(|error| unusable(path, &error.to_string()))?;
    if found.is_empty() { Err(unusable(path, "no `BEGIN CERTIFICATE`")) } else { Ok(found) }
}

/// Reports that a file of certificates cannot be used.
pub fn unusable(path: &Path, why: &str) -> Failure {
    Failure::usage(format!("{} has no usable certificates in PEM: {why}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::local("read", path, &error))
}

/// Reads the sections of a file that hold private keys, and no others: the certificate may be in the same file.
fn read_key(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let (mut key, mut is_within) = (String::new(), false);
    for line in text.lines() {
        is_within |= line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY");
        if is_within {
            key.push_str(line);
            key.push('\n');
        }
        is_within &= !line.starts_with("-----END ");
    }
    Ok(key.into_bytes())
}
