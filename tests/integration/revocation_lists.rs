//! Which of several revocation lists counts: the newest of each authority's key, whatever their order and form. nginx is
//! asked the same with the same files.

use std::path::{Path, PathBuf};

use crate::harness::authority::{Authority, Certificate, Valid, settings_of};
use crate::harness::command::run;
use crate::harness::server::free_port;
use crate::harness::tls_client::curl_as;
use crate::harness::{Database, Depot, eventually, nginx};

/// Authorities that clients are of, their lists as files, and who asks.
struct Case<'a> {
    name: &'a str,
    client_ca: String,
    lists: Vec<Vec<u8>>,
    let_in: Vec<&'a Certificate>,
    refused: Vec<&'a Certificate>,
}

/// Returns for each certificate whether it is accepted.
async fn verdicts(server: &Authority, port: u16, certificates: &[&Certificate]) -> Vec<bool> {
    let mut verdicts = Vec::new();
    for certificate in certificates {
        let mut curl = curl_as(server, certificate);
        curl.args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
        curl.arg(format!("https://127.0.0.1:{port}/livez"));
        let answer = run(curl).await;
        verdicts.push(answer.code == 0 && answer.stdout == "200");
    }
    verdicts
}

async fn imagedepot_decides(
    folder: &Path,
    server: &Authority,
    case: &Case<'_>,
    files: &[PathBuf],
) -> Vec<bool> {
    let port = free_port();
    let identity = server.server("server");
    let settings = format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\n{}client_certificates = \"required\"\nclient_ca = \"{}\"\ncrl = {files:?}\n",
        settings_of(&identity.file, &identity.key),
        folder.join("client-ca.pem").display(),
    );
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    let asked: Vec<_> = case.let_in.iter().chain(&case.refused).copied().collect();
    let verdicts = verdicts(server, port, &asked).await;
    drop(depot);
    verdicts
}

/// nginx takes one file of lists, in PEM.
async fn nginx_decides(folder: &Path, server: &Authority, case: &Case<'_>) -> Vec<bool> {
    let port = free_port();
    let identity = server.server("nginx");
    let lists = case.lists.iter().map(|list| as_pem(list)).collect::<String>();
    std::fs::write(folder.join("lists.pem"), lists).expect("write the lists");
    let http = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};
         ssl_client_certificate {}; ssl_verify_client on; ssl_crl {}; return 200; }}",
        identity.file.display(),
        identity.key.display(),
        folder.join("client-ca.pem").display(),
        folder.join("lists.pem").display(),
    );
    std::fs::write(folder.join("settings"), nginx::settings(folder, &http)).expect("settings");
    let mut nginx = nginx::command(folder).spawn().expect("start nginx");
    eventually("nginx listens", || async {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
    })
    .await;
    let asked: Vec<_> = case.let_in.iter().chain(&case.refused).copied().collect();
    let verdicts = verdicts(server, port, &asked).await;
    nginx.kill().expect("end nginx");
    nginx.wait().expect("its end");
    verdicts
}

fn as_pem(list: &[u8]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    if list.first() == Some(&0x30) {
        return format!(
            "-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n",
            STANDARD.encode(list)
        );
    }
    String::from_utf8(list.to_vec()).expect("text")
}

fn as_der(list: &str) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let lines = list.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).expect("base64")
}

/// An authority that was renewed with a new key under its old name, and clients of both keys.
struct Renewed {
    old: Authority,
    new: Authority,
    right: Certificate,
    lost: Certificate,
    young: Certificate,
    stolen: Certificate,
}

impl Renewed {
    fn new(folder: &Path) -> Self {
        let old = Authority::as_another(folder, "old-key", "Machines");
        let new = Authority::as_another(folder, "new-key", "Machines");
        Self {
            right: old.client("right", Valid::Long),
            lost: old.client("lost", Valid::Long),
            young: new.client("young", Valid::Long),
            stolen: new.client("stolen", Valid::Long),
            old,
            new,
        }
    }

    /// Of the old key alone: `lost` was revoked in December.
    fn of_one_key(&self) -> Vec<Case<'_>> {
        let november = self.old.list(11, &[], Valid::Long);
        let ended = self.old.list(11, &[], Valid::Over).into_bytes();
        let december = self.old.list(12, &[&self.lost], Valid::Long);
        let in_one = format!("{november}{december}").into_bytes();
        let (older, newer) = (november.clone().into_bytes(), december.into_bytes());
        let case = |name, lists| Case {
            name,
            client_ca: std::fs::read_to_string(self.old.file()).expect("read it"),
            lists,
            let_in: vec![&self.right],
            refused: vec![&self.lost],
        };
        vec![
            case("the older first", vec![older.clone(), newer.clone()]),
            case("the newer first", vec![newer.clone(), older]),
            case("in one file", vec![in_one]),
            case("DER and PEM", vec![as_der(&november), newer.clone()]),
            case("the older has ended", vec![ended, newer]),
        ]
    }

    fn of_both_keys(&self) -> Vec<Case<'_>> {
        let november = self.old.list(11, &[], Valid::Long).into_bytes();
        let december = self.old.list(12, &[&self.lost], Valid::Long).into_bytes();
        let of_new_key = self.new.list(3, &[&self.stolen], Valid::Long).into_bytes();
        let read =
            |authority: &Authority| std::fs::read_to_string(authority.file()).expect("read it");
        let client_ca = format!("{}{}", read(&self.old), read(&self.new));
        vec![
            Case {
                name: "a new key under the old name",
                client_ca: client_ca.clone(),
                lists: vec![december, of_new_key.clone(), november],
                let_in: vec![&self.right, &self.young],
                refused: vec![&self.lost, &self.stolen],
            },
            Case {
                name: "a new key, and no list of the old one",
                client_ca,
                lists: vec![of_new_key],
                let_in: vec![&self.young],
                refused: vec![&self.right, &self.lost, &self.stolen],
            },
        ]
    }
}

#[tokio::test]
async fn the_newest_list_of_an_authority_s_key_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let server = Authority::new(folder, "servers");
    let renewed = Renewed::new(folder);
    for case in renewed.of_one_key().into_iter().chain(renewed.of_both_keys()) {
        std::fs::write(folder.join("client-ca.pem"), &case.client_ca).expect("write them");
        let mut files = Vec::new();
        for (number, list) in case.lists.iter().enumerate() {
            files.push(folder.join(format!("{number}.crl")));
            std::fs::write(&files[number], list).expect("write the list");
        }
        let good = case.let_in.iter().map(|_| true);
        let expected: Vec<_> = good.chain(case.refused.iter().map(|_| false)).collect();
        let ours = imagedepot_decides(folder, &server, &case, &files).await;
        assert_eq!(ours, expected, "{}", case.name);
        let theirs = nginx_decides(folder, &server, &case).await;
        assert_eq!(theirs, expected, "nginx: {}", case.name);
    }
}
