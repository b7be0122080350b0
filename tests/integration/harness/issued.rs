//! Client certificates, made for a test.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair,
    SanType,
};

/// A certificate that signs itself: whose authority it is, is the handshake's business and not the mapping's.
pub struct Issued {
    pub der: Vec<u8>,
    pub pem: String,
    pub key: String,
}

/// An authority that signs certificates for a proxy to verify.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

pub fn authority(name: &str) -> Authority {
    let mut params = certificate(name).0;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

/// Begins a certificate for `CN=name`.
pub fn certificate(name: &str) -> Request {
    Request(CertificateParams::default()).with(DnType::CommonName, name)
}

/// The requested contents of a certificate.
pub struct Request(CertificateParams);

impl Request {
    pub fn with(mut self, attribute: DnType, value: impl Into<DnValue>) -> Self {
        let mut name = DistinguishedName::new();
        // The library's own start is a name for servers.
        for (known, value) in self.0.distinguished_name.iter() {
            if attribute != DnType::CommonName {
                name.push(known.clone(), value.clone());
            }
        }
        name.push(attribute, value);
        self.0.distinguished_name = name;
        self
    }

    pub fn alternative(mut self, name: SanType) -> Self {
        self.0.subject_alt_names.push(name);
        self
    }

    pub fn issue(self) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let issued = self.0.self_signed(&key).expect("a certificate");
        Issued { der: issued.der().to_vec(), pem: issued.pem(), key: key.serialize_pem() }
    }

    pub fn issue_by(self, authority: &Authority) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let issued = self.0.signed_by(&key, &authority.issuer).expect("a certificate");
        Issued { der: issued.der().to_vec(), pem: issued.pem(), key: key.serialize_pem() }
    }
}

impl Issued {
    /// The value of `Client-Cert`, as RFC 9440 has it.
    pub fn header(&self) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;

        format!(":{}:", STANDARD.encode(&self.der))
    }
}
