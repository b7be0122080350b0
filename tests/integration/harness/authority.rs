//! A certificate authority of the test's own: certificates for servers and clients, and revocation lists.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::sample::random_below;

/// The validity of a certificate or a list.
#[derive(Clone, Copy)]
pub enum Valid {
    Long,
    /// It was once.
    Over,
    NotYet,
    For(Duration),
}

pub struct Authority {
    folder: PathBuf,
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM files.
#[derive(Clone)]
pub struct Certificate {
    pub file: PathBuf,
    pub key: PathBuf,
    serial: u64,
}

impl Authority {
    /// Its own certificate is `NAME.pem` in the folder.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self::as_another(folder, name, name)
    }

    /// In the certificate stands another's name.
    pub fn as_another(folder: &Path, name: &str, common_name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("write it");
        let issuer = Issuer::new(params, key);
        Self { folder: folder.to_owned(), name: name.to_owned(), issuer }
    }

    /// Its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// For a server on loopback; files `NAME.pem` and `NAME.key`.
    pub fn server(&self, name: &str) -> Certificate {
        self.server_valid(name, Valid::Long)
    }

    /// The same, valid for as long as is said.
    pub fn server_valid(&self, name: &str, valid: Valid) -> Certificate {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        self.issue(name, &names, ExtendedKeyUsagePurpose::ServerAuth, valid)
    }

    /// The settings of a listener that lets in nobody without a certificate of this authority.
    pub fn listener_for_its_clients(&self, port: u16) -> String {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:{port}\"\n{}client_certificates = \"required\"\nclient_ca = \"{}\"\n",
            self.server("server").as_settings(),
            self.file().display(),
        )
    }

    pub fn client(&self, name: &str, valid: Valid) -> Certificate {
        self.issue(name, &[], ExtendedKeyUsagePurpose::ClientAuth, valid)
    }

    /// Makes a certificate of X.509 version 1 with OpenSSL, which it does if no extensions are given. The library here
    /// knows only version 3.
    pub fn version_1(&self, name: &str) -> Certificate {
        let path = |end: &str| self.folder.join(format!("{name}.{end}"));
        let authority = self.folder.join(format!("{}.key", self.name));
        std::fs::write(&authority, self.issuer.key().serialize_pem()).expect("write the key");
        let openssl = |arguments: &[&str], files: &[(&str, &Path)]| {
            let mut openssl = std::process::Command::new("openssl");
            openssl.args(arguments);
            for (flag, file) in files {
                openssl.arg(flag).arg(file);
            }
            let ended = openssl.output().expect("openssl");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        };
        let subject = format!("/CN={name}");
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let request = [&["req", "-new", "-subj", &subject][..], &new_key].concat();
        openssl(&request, &[("-keyout", &path("key")), ("-out", &path("csr"))]);
        let (own, list) = (self.file(), ["x509", "-req", "-days", "30", "-set_serial", "77"]);
        let (csr, pem) = (path("csr"), path("pem"));
        let files = [("-in", &*csr), ("-CA", &*own), ("-CAkey", &*authority), ("-out", &*pem)];
        openssl(&list, &files);
        Certificate { file: path("pem"), key: path("key"), serial: 77 }
    }

    fn issue(
        &self,
        name: &str,
        names: &[String],
        purpose: ExtendedKeyUsagePurpose,
        valid: Valid,
    ) -> Certificate {
        let mut params = CertificateParams::new(names).expect("plain names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let serial = 1 + random_below(1 << 40);
        params.serial_number = Some(SerialNumber::from(serial));
        match valid {
            Valid::Long => {}
            Valid::Over => params.not_after = date_time_ymd(2020, 1, 1),
            Valid::NotYet => params.not_before = date_time_ymd(2120, 1, 1),
            Valid::For(time) => params.not_after = date_time_ymd(1970, 1, 1) + from_now(time),
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (file, key_file) =
            (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")));
        std::fs::write(&key_file, key.serialize_pem()).expect("write the key");
        std::fs::write(&file, certificate.pem()).expect("write the certificate");
        Certificate { file, key: key_file, serial }
    }

    /// Writes the revocation list `NAME.crl`, PEM, over the one before, in one step.
    pub fn revoke(&self, revoked: &[&Certificate], valid: Valid) -> PathBuf {
        let list = self.list(1 + random_below(1 << 40), revoked, valid);
        let file = self.folder.join(format!("{}.crl", self.name));
        let new = file.with_extension("new");
        std::fs::write(&new, list).expect("write the list");
        std::fs::rename(&new, &file).expect("put it into place");
        file
    }

    /// A revocation list with a number, as PEM.
    pub fn list(&self, number: u64, revoked: &[&Certificate], valid: Valid) -> String {
        let next_update = match valid {
            Valid::Over => date_time_ymd(2021, 1, 1),
            Valid::For(time) => date_time_ymd(1970, 1, 1) + from_now(time),
            Valid::Long | Valid::NotYet => date_time_ymd(2120, 1, 1),
        };
        let entry = |certificate: &&Certificate| RevokedCertParams {
            serial_number: SerialNumber::from(certificate.serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            // OpenSSL goes by the date.
            this_update: date_time_ymd(2020, 1, 1) + Duration::from_secs(number % 1_000_000),
            next_update,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("as PEM")
    }
}

/// The two lines of a listener.
pub fn settings_of(certificate: &Path, key: &Path) -> String {
    format!("certificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display())
}

fn from_now(time: Duration) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    now + time
}

impl Certificate {
    pub fn as_settings(&self) -> String {
        settings_of(&self.file, &self.key)
    }

    /// Puts another certificate and its key into these files, each in one step.
    pub fn become_another(&self, other: &Self) {
        for (from, to) in [(&other.file, &self.file), (&other.key, &self.key)] {
            let new = to.with_extension("new");
            std::fs::copy(from, &new).expect("copy");
            std::fs::rename(&new, to).expect("put it into place");
        }
    }

    /// The value of `Client-Cert`, as RFC 9440 has it.
    pub fn as_header(&self) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;

        format!(":{}:", STANDARD.encode(self.der()))
    }

    /// Returns the certificate as it is sent.
    pub fn der(&self) -> Vec<u8> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;

        CertificateDer::from_pem_file(&self.file).expect("a certificate").to_vec()
    }
}
