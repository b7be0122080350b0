//! The server's address and the credentials for it. Flags take precedence over the environment.
//!
//! The environment is read here and not by clap, for two reasons. First, a flag for one authentication method must win
//! over the variables of another (`--user` over `IMAGEDEPOT_TOKEN`), and clap cannot tell flags and variables apart
//! once they are merged. Second, tests pass an environment of their own. Secrets are [`SecretString`]s from the start,
//! so that no derived `Debug` and no log line can show them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::error::Failure;
use super::tls_files::{ClientFiles, TlsFiles};
use crate::model::text_file::secret_in;

/// The address at which `imagedepot serve` listens by default.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// The arguments of every command that talks to a server, for `#[command(flatten)]`. The help texts are attributes,
/// because a doc comment would show its Markdown in `--help`. They are global, so that commands with verbs of their own
/// (`image list`) take them before and after the verb.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Server and credentials")]
pub struct ServerArgs {
    #[arg(
        long,
        global = true,
        value_name = "URL",
        visible_alias = "url",
        help = "The server's address [env: IMAGEDEPOT_URL] [default: http://127.0.0.1:8080]"
    )]
    pub server: Option<String>,

    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help = "User for Basic authentication [env: IMAGEDEPOT_USER]"
    )]
    pub user: Option<String>,

    #[arg(
        long,
        global = true,
        value_name = "TEXT",
        conflicts_with = "password_file",
        help = "The user's password [env: IMAGEDEPOT_PASSWORD]; as a flag, it is visible \
                to all users of this machine in the process list"
    )]
    pub password: Option<SecretString>,

    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "File with the user's password [env: IMAGEDEPOT_PASSWORD_FILE]"
    )]
    pub password_file: Option<PathBuf>,

    #[arg(
        long,
        global = true,
        value_name = "TEXT",
        conflicts_with_all = ["user", "password", "password_file", "token_file"],
        help = "API token, instead of user and password [env: IMAGEDEPOT_TOKEN]; as a flag, it \
                is as visible as --password"
    )]
    pub token: Option<SecretString>,

    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with_all = ["user", "password", "password_file"],
        help = "File with the API token [env: IMAGEDEPOT_TOKEN_FILE]"
    )]
    pub token_file: Option<PathBuf>,

    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Certificates (PEM) of the authority to trust, instead of the system's \
                [env: IMAGEDEPOT_CA]"
    )]
    pub ca: Option<PathBuf>,

    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Certificate (PEM) that this client shows, with its chain \
                [env: IMAGEDEPOT_CERTIFICATE]"
    )]
    pub client_certificate: Option<PathBuf>,

    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Private key (PEM) of the client's certificate, if it is in a file of its own \
                [env: IMAGEDEPOT_KEY]"
    )]
    pub client_key: Option<PathBuf>,
}

/// The credentials with which this client authenticates.
#[derive(Debug, Clone)]
pub enum Credentials {
    Anonymous,
    Basic { user: String, password: SecretString },
    Token(SecretString),
}

/// Looks up one environment variable. An empty one counts as unset, because scripts clear variables that way.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl ServerArgs {
    /// Reports whether flags say who is calling. They mean nothing without a server.
    pub const fn have_credentials(&self) -> bool {
        self.user.is_some()
            || self.password.is_some()
            || self.password_file.is_some()
            || self.token.is_some()
            || self.token_file.is_some()
            || self.client_certificate.is_some()
    }

    /// Determines the files of the TLS connection. Flags win over the environment.
    pub fn tls_files(&self, environment: Environment) -> Result<TlsFiles, Failure> {
        let path = |flag: &Option<PathBuf>, name| {
            flag.clone()
                .or_else(|| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from))
        };
        let certificate = path(&self.client_certificate, "IMAGEDEPOT_CERTIFICATE");
        let client = match (certificate, path(&self.client_key, "IMAGEDEPOT_KEY")) {
            (Some(certificate), Some(key)) => Some(ClientFiles { certificate, key }),
            (Some(certificate), None) => {
                Some(ClientFiles { key: certificate.clone(), certificate })
            }
            (None, None) => None,
            (None, Some(_)) => {
                let words = "there is a key but no certificate: set --client-certificate or \
                             IMAGEDEPOT_CERTIFICATE";
                return Err(Failure::usage(words));
            }
        };
        Ok(TlsFiles { ca: path(&self.ca, "IMAGEDEPOT_CA"), client })
    }

    /// Returns the files that a connection is opened with, by flags or by the environment.
    pub fn files(&self, environment: Environment) -> Vec<PathBuf> {
        let named = |flag: &Option<PathBuf>, variable| {
            let path = environment(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
            flag.clone().or(path)
        };
        [
            named(&self.password_file, "IMAGEDEPOT_PASSWORD_FILE"),
            named(&self.token_file, "IMAGEDEPOT_TOKEN_FILE"),
            named(&self.ca, "IMAGEDEPOT_CA"),
            named(&self.client_certificate, "IMAGEDEPOT_CERTIFICATE"),
            named(&self.client_key, "IMAGEDEPOT_KEY"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Returns the server's address. It ends in a slash so that paths can be joined to it.
    pub fn address(&self, environment: Environment) -> Result<Url, Failure> {
        let text = match &self.server {
            Some(text) => text.clone(),
            None => variable(environment, "IMAGEDEPOT_URL")?
                .unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
        };
        if !text.contains("://") {
            // Url::parse would take `host:8080` for a URL with the scheme `host`.
            return Err(Failure::usage(without_scheme(&text)));
        }
        // The message does not repeat the text: some users write passwords into addresses.
        let mut url = Url::parse(&text).map_err(|error| {
            Failure::usage(format!("the server's address is not a URL: {error}"))
        })?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Failure::usage("the server's address must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::usage(
                "the server's address must not contain credentials; use --user and \
                 --password-file, or IMAGEDEPOT_USER and IMAGEDEPOT_PASSWORD",
            ));
        }
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(url)
    }

    /// Determines the credentials. Flags win over the environment; within the environment a token wins over a password.
    pub fn credentials(&self, environment: Environment) -> Result<Credentials, Failure> {
        let basic_by_flag =
            self.user.is_some() || self.password.is_some() || self.password_file.is_some();
        if !basic_by_flag {
            let token = secret(
                self.token.as_ref(),
                self.token_file.as_deref(),
                environment,
                "IMAGEDEPOT_TOKEN",
            )?;
            if let Some(token) = token {
                return Ok(Credentials::Token(token));
            }
        }
        let user = match &self.user {
            Some(user) => Some(user.clone()),
            None => variable(environment, "IMAGEDEPOT_USER")?,
        };
        let password = secret(
            self.password.as_ref(),
            self.password_file.as_deref(),
            environment,
            "IMAGEDEPOT_PASSWORD",
        )?;
        match (user, password) {
            (Some(user), Some(password)) => Ok(Credentials::Basic { user, password }),
            (None, None) => Ok(Credentials::Anonymous),
            (Some(_), None) => Err(Failure::usage(
                "there is a user but no password: set --password-file or IMAGEDEPOT_PASSWORD",
            )),
            (None, Some(_)) => Err(Failure::usage(
                "there is a password but no user: set --user or IMAGEDEPOT_USER",
            )),
        }
    }
}

fn without_scheme(text: &str) -> String {
    let example = if text.contains('@') { "depot.example:8080" } else { text };
    format!(
        "the server's address must begin with http:// or https://, as in http://{example} or https://{example}"
    )
}

/// Returns the first secret that is set: the flag, the file named by a flag, the variable, the file named by a
/// variable.
fn secret(
    flag: Option<&SecretString>,
    file: Option<&Path>,
    environment: Environment,
    name: &str,
) -> Result<Option<SecretString>, Failure> {
    if let Some(secret) = flag {
        return Ok(Some(secret.clone()));
    }
    if let Some(file) = file {
        return from_file(file).map(Some);
    }
    if let Some(text) = variable(environment, name)? {
        return Ok(Some(SecretString::from(text)));
    }
    match environment(&format!("{name}_FILE")).filter(|path| !path.is_empty()) {
        Some(path) => from_file(Path::new(&path)).map(Some),
        None => Ok(None),
    }
}

fn variable(environment: Environment, name: &str) -> Result<Option<String>, Failure> {
    environment(name)
        .filter(|value| !value.is_empty())
        // The value is not shown: it may be a secret.
        .map(|value| {
            value.into_string().map_err(|_| Failure::usage(format!("{name} is not UTF-8")))
        })
        .transpose()
}

/// Reads the secret from a file, without the line end that editors add.
pub(super) fn from_file(path: &Path) -> Result<SecretString, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::local("read", path, &error))?;
    let secret = secret_in(&text);
    if secret.is_empty() {
        return Err(Failure::usage(format!("{} is empty", path.display())));
    }
    Ok(SecretString::from(secret))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn environment(
        pairs: &'static [(&'static str, &'static str)],
    ) -> impl Fn(&str) -> Option<OsString> {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    }

    #[test]
    fn with_nothing_set_it_is_the_local_server_and_nobody() {
        let nothing = environment(&[]);
        let args = ServerArgs::default();
        assert_eq!(args.address(&nothing).unwrap().as_str(), "http://127.0.0.1:8080/");
        assert!(matches!(args.credentials(&nothing).unwrap(), Credentials::Anonymous));
    }

    #[test]
    fn a_user_given_by_flag_wins_over_a_token_in_the_environment() {
        let environment =
            environment(&[("IMAGEDEPOT_TOKEN", "t"), ("IMAGEDEPOT_PASSWORD", "from outside")]);
        let args = ServerArgs { user: Some("alice".to_owned()), ..ServerArgs::default() };
        let Credentials::Basic { user, password } = args.credentials(&environment).unwrap() else {
            panic!("the token was used");
        };
        assert_eq!((user.as_str(), password.expose_secret()), ("alice", "from outside"));
    }

    #[test]
    fn a_secret_in_a_file_loses_its_line_end_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), " two words \r\n").unwrap();
        let args = ServerArgs { token_file: Some(file.path().to_owned()), ..ServerArgs::default() };
        let Credentials::Token(token) = args.credentials(&environment(&[])).unwrap() else {
            panic!("no token");
        };
        assert_eq!(token.expose_secret(), " two words ");
    }

    #[test]
    fn half_of_the_credentials_is_a_usage_error() {
        let half = environment(&[("IMAGEDEPOT_USER", "alice"), ("IMAGEDEPOT_PASSWORD", "")]);
        let failure = ServerArgs::default().credentials(&half).unwrap_err();
        assert!(failure.to_string().contains("IMAGEDEPOT_PASSWORD"), "{failure}");
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        let url = environment(&[("IMAGEDEPOT_URL", "https://alice:hunter2@depot.example/")]);
        let failure = ServerArgs::default().address(&url).unwrap_err();
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }

    #[test]
    fn an_address_without_scheme_is_explained() {
        for text in ["depot.example:8080", "127.0.0.1:8080", "localhost", "depot.example/images"] {
            let args = ServerArgs { server: Some(text.to_owned()), ..ServerArgs::default() };
            let failure = args.address(&environment(&[])).unwrap_err().to_string();
            assert!(failure.contains(&format!("https://{text}")), "{failure}");
        }
        let secret = ServerArgs { server: Some("a:hunter2@x".to_owned()), ..ServerArgs::default() };
        let failure = secret.address(&environment(&[])).unwrap_err().to_string();
        assert!(!failure.contains("hunter2"), "{failure}");
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let args = ServerArgs {
            user: Some("alice".to_owned()),
            password: Some(SecretString::from("hunter2")),
            ..ServerArgs::default()
        };
        let shown = format!("{args:?} {:?}", args.credentials(&environment(&[])).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
