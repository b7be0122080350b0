//! A real Kerberos realm, or several: MIT's KDC in a temporary folder, on a loopback port of its own.
//!
//! A realm has the people `alice`, `bob` and `carol`, a machine, and the service `HTTP/localhost`; everything that it
//! writes lies in its folder. Nothing needs root but installing it (Debian: krb5-kdc, krb5-admin-server, krb5-user).

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::server::free_port;

/// A realm with its running KDC, killed when dropped.
pub struct Realm {
    pub name: String,
    port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl Realm {
    pub fn start(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the realm");
        let mut realm = Self { name: name.to_owned(), port: free_port(), folder, process: None };
        realm.configure(&[]);
        realm.write("kdc.conf", &realm.kdc_settings());
        run(realm.program("kdb5_util").args(["-r", name, "create", "-s", "-P", "master"]), "");
        let alice = realm.keytab("alice").display().to_string();
        let http = realm.keytab("http").display().to_string();
        let people = ["alice", "bob", "carol", "host/pc-1.example.com"].map(|person| {
            format!("addprinc -randkey {person}\nktadd -k {alice} -norandkey {person}\n")
        });
        let service = format!(
            "addprinc -randkey HTTP/localhost\nktadd -k {http} -norandkey HTTP/localhost\n"
        );
        realm.administer(&(people.concat() + &service));
        realm.process = Some(realm.serve());
        realm
    }

    fn kdc_settings(&self) -> String {
        let (name, folder, port) = (&self.name, self.folder.path().display(), self.port);
        format!(
            "[kdcdefaults]\nkdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}\n\
             [realms]\n{name} = {{\ndatabase_name = {folder}/principals\nkey_stash_file = {folder}/stash\n\
             acl_file = {folder}/acl\nmax_life = 10h\n}}\n"
        )
    }

    /// The settings of clients and servers, who may know other realms.
    pub fn configure(&self, others: &[&Self]) {
        let mut text = format!(
            "[libdefaults]\ndefault_realm = {}\ndns_lookup_realm = false\ndns_lookup_kdc = false\n\
             dns_canonicalize_hostname = false\nrdns = false\nudp_preference_limit = 1\n[domain_realm]\nlocalhost = {}\n\
             [realms]\n",
            self.name,
            others.first().map_or(&self.name, |other| &other.name)
        );
        for realm in others.iter().copied().chain([self]) {
            let kdc = format!("{} = {{\nkdc = 127.0.0.1:{}\n}}\n", realm.name, realm.port);
            text.push_str(&kdc);
        }
        self.write("krb5.conf", &text);
    }

    /// Lets the people of this realm get tickets of the other one.
    pub fn is_trusted_by(&self, other: &Self) {
        for realm in [self, other] {
            let link = format!("krbtgt/{}@{}", other.name, self.name);
            realm.administer(&format!("addprinc -pw shared-between-both {link}\n"));
        }
        self.configure(&[other]);
    }

    /// Commands for the realm's database.
    pub fn administer(&self, commands: &str) {
        run(self.program("kadmin.local").args(["-r", &self.name]), commands);
    }

    fn serve(&self) -> Child {
        let mut kdc = Command::new("setpriv");
        kdc.args(["--pdeathsig", "KILL", "--", "krb5kdc", "-n", "-r", &self.name]);
        self.equip(&mut kdc);
        let process = kdc
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("krb5kdc must be installed (Debian: krb5-kdc); tests/run sees to it");
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "the KDC does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        process
    }

    /// The keys of `http` (the server) or `alice` (all people).
    pub fn keytab(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.keytab"))
    }

    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("krb5.conf")
    }

    /// A ticket for logging in as somebody, in a cache of its own.
    pub fn log_in(&self, person: &str, lifetime: &str) -> Ticket {
        let cache = self.folder.path().join(format!("cache-{}", person.replace('/', "-")));
        let mut kinit = self.program("kinit");
        kinit.arg("-k").arg("-t").arg(self.keytab("alice")).args(["-l", lifetime]);
        kinit.arg("-c").arg(&cache).arg(person);
        run(&mut kinit, "");
        Ticket { settings: self.settings(), cache }
    }

    /// Returns the empty ticket cache of somebody who is not logged in.
    pub fn no_ticket(&self) -> Ticket {
        Ticket { settings: self.settings(), cache: self.folder.path().join("no-cache") }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("write the realm's settings");
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        self.equip(&mut command);
        command
    }

    fn equip(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("KRB5_CONFIG", self.settings())
            .env("KRB5_KDC_PROFILE", self.folder.path().join("kdc.conf"));
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The files in which a program finds somebody's tickets.
#[derive(Clone)]
pub struct Ticket {
    settings: PathBuf,
    cache: PathBuf,
}

impl Ticket {
    pub fn equip(&self, command: &mut Command) {
        command.env("KRB5_CONFIG", &self.settings).env("KRB5CCNAME", &self.cache);
    }
}

fn run(command: &mut Command, input: &str) {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"));
    process.stdin.take().expect("its input").write_all(input.as_bytes()).expect("write to it");
    let output = process.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
