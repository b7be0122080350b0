//! Clients that speak TLS: curl with the switches that a person would use, OpenSSL where a session is to be
//! resumed, and one of rustls where many connections are made.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::client::{Resumption, WantsClientCert};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Certificate};
use super::command::{Finished, curl, run};

/// curl, with the authority of the server's certificate.
pub fn curl_with(authority: &Authority) -> Command {
    let mut command = curl();
    command.arg("--cacert").arg(authority.file());
    command
}

/// The same with a certificate of its own.
pub fn curl_as(authority: &Authority, certificate: &Certificate) -> Command {
    let mut command = curl_with(authority);
    command.arg("--cert").arg(&certificate.file).arg("--key").arg(&certificate.key);
    command
}

/// Returns what `openssl s_client` reports of one request. The session is read from and kept in `session`.
pub async fn resume_with_openssl(
    port: u16,
    version: &str,
    certificate: Option<&Certificate>,
    session: &Path,
) -> Finished {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-ign_eof", version]);
    if let Some(certificate) = certificate {
        command.arg("-cert").arg(&certificate.file).arg("-key").arg(&certificate.key);
    }
    if session.exists() {
        command.arg("-sess_in").arg(session);
    }
    command.arg("-sess_out").arg(session);
    let mut asked = tempfile::tempfile().expect("a file");
    asked
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("write the request");
    std::io::Seek::rewind(&mut asked).expect("back to its start");
    command.stdin(Stdio::from(asked));
    run(command).await
}

/// Makes whole handshakes, each on a connection of its own.
#[derive(Clone)]
pub struct FreshConnections {
    connector: TlsConnector,
    port: u16,
}

/// A connection that is kept.
pub struct Kept(TlsStream<TcpStream>);

impl Kept {
    /// Asks for `/livez`; the answer as it came.
    pub async fn ask(&mut self) -> std::io::Result<String> {
        self.0.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = vec![0; 4096];
        match self.0.read(&mut answer).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => Ok(String::from_utf8_lossy(&answer[..read]).into_owned()),
        }
    }
}

impl FreshConnections {
    pub fn new(port: u16, authority: &Authority) -> Self {
        Self::configured(port, authority, ConfigBuilder::<ClientConfig, _>::with_no_client_auth)
    }

    /// With a certificate of their own.
    pub fn with(port: u16, authority: &Authority, certificate: &Certificate) -> Self {
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
        let chain = vec![CertificateDer::from_pem_file(&certificate.file).expect("a certificate")];
        Self::configured(port, authority, |builder| {
            builder.with_client_auth_cert(chain, key).expect("they fit")
        })
    }

    fn configured(
        port: u16,
        authority: &Authority,
        finish: impl FnOnce(ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority.file()).expect("a certificate");
        roots.add(certificate).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = finish(builder);
        config.resumption = Resumption::disabled();
        Self { connector: Arc::new(config).into(), port }
    }

    /// One that stays.
    pub async fn keep(&self) -> std::io::Result<Kept> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        Ok(Kept(self.connector.connect(name, stream).await?))
    }

    /// Asks for `/livez`; hands out the server's certificate (DER).
    pub async fn ask(&self) -> std::io::Result<Vec<u8>> {
        self.ask_on(TcpStream::connect(("127.0.0.1", self.port)).await?).await
    }

    /// The same on a connection that stands.
    pub async fn ask_on(&self, stream: TcpStream) -> std::io::Result<Vec<u8>> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = self.connector.connect(name, stream).await?;
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            return Err(std::io::Error::other(answer));
        }
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default())
    }
}
