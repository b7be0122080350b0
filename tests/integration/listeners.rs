//! Listeners: each with its own TLS and its own ways in, and none that leaks passwords.

use std::path::Path;

use crate::harness::authority::{Authority, Valid, settings_of};
use crate::harness::command::{curl, imagedepot, run};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::server::free_port;
use crate::harness::tls_client::{curl_as, curl_with};
use crate::harness::{Database, Depot};

const OLD_LIST: &str = "\
-----BEGIN X509 CRL-----\n\
MIGbMEQwCgYIKoZIzj0EAwIwGDEWMBQGA1UEAwwNYmVuY2ggY2xpZW50cxcNMjYx\n\
MTIxMTYwMzA1WhcNMjYxMTIzMTYwMzA1WjAKBggqhkjOPQQDAgNHADBEAiBWu+9T\n\
Uv+K5PCX99sa4XvL4kD8YwrCY4mU2DcBfLRJjQIgSQ0L56kbD2NYC++DXuEDnIqf\n\
Ewrp8alZzucE5XnZ58s=\n\
-----END X509 CRL-----\n";

#[tokio::test]
async fn each_listener_takes_what_it_says_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let server = authority.server("server").as_settings();
    let client = authority.client("till-7", Valid::Long);
    let (https, certified, bearer_only) = (free_port(), free_port(), free_port());
    let settings = format!(
        "[[listener]]\naddress = \"127.0.0.1:{https}\"\n{server}\
         [[listener]]\naddress = \"127.0.0.1:{certified}\"\n{server}client_certificates = \"required\"\n\
         client_ca = \"{}\"\n\
         [[listener]]\naddress = \"127.0.0.1:{bearer_only}\"\n{server}ways_in = [\"bearer\"]\n",
        authority.file().display()
    );
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    let right = format!("admin:{ADMIN_PASSWORD}");
    let whoami = |port: u16| format!("https://127.0.0.1:{port}/api/v1/whoami");

    // Plain HTTP on loopback.
    let plain = format!("{}/api/v1/whoami", depot.server.url());
    for (password, works) in [(right.as_str(), true), ("admin:wrong", false)] {
        let mut asked = curl();
        asked.args(["--user", password, &plain]);
        assert_eq!(run(asked).await.code == 0, works, "{password} on {plain}");
    }
    // HTTPS with Basic.
    for (password, works) in [(right.as_str(), true), ("admin:wrong", false)] {
        let mut asked = curl_with(&authority);
        asked.args(["--user", password, &whoami(https)]);
        let answer = run(asked).await;
        assert_eq!(answer.code == 0, works, "{password}: {}", answer.stderr);
    }
    let mut untrusting = curl();
    untrusting.arg(whoami(https));
    assert_eq!(run(untrusting).await.code, 60, "curl does not know the authority");
    // HTTPS with a certificate: without one the handshake fails, whatever the password.
    let mut asked = curl_as(&authority, &client);
    asked.args(["--user", &right, &whoami(certified)]);
    run(asked).await.successful();
    let mut asked = curl_with(&authority);
    asked.args(["--user", &right, &whoami(certified)]);
    let refused = run(asked).await;
    assert!([35, 56].contains(&refused.code), "{}: {}", refused.code, refused.stderr);
    // Where Basic is not offered, the right password is no way in, and is not asked for.
    let mut asked = curl_with(&authority);
    asked.args(["--include", "--user", &right, &whoami(bearer_only)]);
    let refused = run(asked).await;
    assert_eq!(refused.code, 22, "{}", refused.stdout);
    let head = refused.stdout.to_lowercase();
    assert!(head.contains("www-authenticate: bearer"), "{head}");
    assert!(!head.contains("www-authenticate: basic"), "{head}");
    assert!(head.contains("strict-transport-security"), "{head}");
}

#[tokio::test]
async fn http_without_tls_is_told_so_and_https_where_there_is_none_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let port = free_port();
    let server = authority.server("server").as_settings();
    let settings = format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n{server}");
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    let mut asked = std::process::Command::new("curl");
    asked.args(["-sS", "--include", &format!("http://127.0.0.1:{port}/api/v1/images")]);
    let answer = run(asked).await.successful().stdout;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("tls_expected"), "{answer}");
    assert!(answer.contains("https://"), "{answer}");
    let metrics = depot.admin().get("/metrics").await.expecting(200).text();
    let counted = r#"imagedepot_tls_handshakes_refused_total{reason="plain_http"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    // The command line, either way round.
    for (url, word) in [
        (format!("http://127.0.0.1:{port}"), "https"),
        (depot.server.url().replace("http:", "https:"), "TLS"),
    ] {
        let mut pull = imagedepot(["pull", "win7-office", "--server", &url, "--to"]);
        pull.arg(folder.path());
        let refused = run(pull).await;
        assert!(refused.code != 0 && refused.stderr.contains(word), "{url}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let port = free_port();
    let settings = format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\n{}",
        authority.server("server").as_settings()
    );
    let _depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    let url = format!("https://localhost:{port}/livez");
    for (switches, version) in
        [(&["--tls-max", "1.2"][..], "TLSv1.2"), (&["--tlsv1.3"][..], "TLSv1.3")]
    {
        for http in ["--http1.1", "--http2"] {
            let mut asked = curl_with(&authority);
            asked.args(switches).args([http, "--verbose", &url]);
            let answer = run(asked).await.successful();
            assert!(answer.stderr.contains(&format!("using {version}")), "{}", answer.stderr);
        }
    }
    let mut old = curl_with(&authority);
    // Lets curl try at all: what it is built with refuses by itself otherwise.
    old.args(["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", &url]);
    assert_eq!(run(old).await.code, 35);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told from its beginning to its end")]
async fn what_leaks_passwords_or_cannot_work_is_refused_before_it_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let server = authority.server("server");
    let other = authority.server("other");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("write");
        path
    };
    let empty = file("empty.pem", "nothing in it\n");
    let broken =
        file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let tls = server.as_settings();
    let required = format!("{tls}client_certificates = \"required\"\n");
    let ca = format!("client_ca = \"{}\"\n", authority.file().display());
    let nothing = empty.display();
    // As `openssl ca -gencrl` writes it without further settings: version 1, which RFC 5280 does not allow.
    let old = file("old.crl", OLD_LIST);
    let (good, old) = (authority.revoke(&[], Valid::Long), old.display());
    let good = good.display();
    for (listener, named) in [
        // The address is one that nobody here has: nothing is ever bound.
        ("address = \"192.0.2.1:1\"".to_owned(), "passwords without TLS"),
        (
            format!("address = \"127.0.0.1:1\"\n{}", settings_of(&server.file, &other.key)),
            "other.key",
        ),
        (format!("address = \"127.0.0.1:1\"\n{}", settings_of(&empty, &server.key)), "empty.pem"),
        (format!("address = \"127.0.0.1:1\"\n{}", settings_of(&broken, &server.key)), "broken.pem"),
        (
            format!("address = \"127.0.0.1:1\"\n{}", settings_of(&server.file, &empty)),
            "private key",
        ),
        (format!("address = \"127.0.0.1:1\"\n{}", settings_of(Path::new("/no"), &empty)), "/no"),
        (format!("address = \"127.0.0.1:1\"\n{required}"), "client_ca"),
        (format!("address = \"127.0.0.1:1\"\n{required}client_ca = \"{nothing}\""), "empty.pem"),
        (format!("address = \"127.0.0.1:1\"\n{required}{ca}crl = [\"{nothing}\"]"), "empty.pem"),
        (
            format!("address = \"127.0.0.1:1\"\n{required}{ca}crl = [\"{good}\", \"{old}\"]"),
            "old.crl",
        ),
        (format!("address = \"127.0.0.1:1\"\n{tls}ways_in = [\"certificate\"]"), "certificate"),
        (format!("address = \"127.0.0.1:1\"\n{tls}ways_in = []"), "ways_in"),
        (format!("address = \"127.0.0.1:1\"\n{tls}client_certificates = \"optional\""), "optional"),
    ] {
        let settings = file("imagedepot.toml", &format!("[[listener]]\n{listener}\n"));
        let settings = settings.display().to_string();
        let data = folder.path().join("data").display().to_string();
        for command in ["check-config", "serve"] {
            let refused = run(imagedepot([command, "--config", &settings, "--data", &data])).await;
            assert!(refused.code > 0, "{command} took {listener}");
            assert!(refused.stderr.contains("listener"), "{listener}: {}", refused.stderr);
            assert!(refused.stderr.contains(named), "{listener}: {}", refused.stderr);
        }
        assert!(!Path::new(&data).exists(), "a refused start leaves nothing behind: {listener}");
    }
    // With a yes, and where it is all right, it is taken.
    for listener in [
        "address = \"0.0.0.0:65533\"\nallow_plain_passwords = true".to_owned(),
        format!("address = \"0.0.0.0:65533\"\n{required}{ca}ways_in = [\"certificate\"]"),
    ] {
        let settings = file("imagedepot.toml", &format!("[[listener]]\n{listener}\n"));
        let settings = settings.display().to_string();
        run(imagedepot(["check-config", "--config", &settings])).await.successful();
    }
    let refused = run(imagedepot(["serve", "--listen", "192.0.2.1:1"])).await;
    assert!(refused.stderr.contains("passwords without TLS"), "{}", refused.stderr);
}
