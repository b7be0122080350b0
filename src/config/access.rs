//! `[access]`: the settings that concern all authentication methods.

mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use tokens::Tokens;

use crate::access::login_throttle::Limits;
use crate::access::oidc::settings::Oidc;
use crate::access::principal::PrincipalRule;

/// `[access]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// The origins of web pages, such as `https://dash.example.com`, that browsers let call the API.
    pub cors: Vec<String>,
    /// The greatest age of a snapshot from which log-ins are answered.
    #[serde(with = "humantime_serde")]
    pub stale_after: Duration,
    pub logins: Logins,
    pub tokens: Tokens,
    /// The outside issuer; without it only the depot's own tokens are accepted.
    pub oidc: Option<Oidc>,
    pub kerberos: Kerberos,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            cors: Vec::new(),
            stale_after: Duration::from_secs(30),
            logins: Logins::default(),
            tokens: Tokens::default(),
            oidc: None,
            kerberos: Kerberos::default(),
        }
    }
}

/// `[access.logins]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logins {
    /// The number of wrong passwords from one address for one account that cause no wait.
    pub free_failures: u32,
    /// The number of wrong passwords from one address for any accounts that cause no wait.
    pub free_failures_per_address: u32,
    /// The longest wait after wrong passwords from one address for one account. For an address alone it is a fifteenth
    /// of this.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
}

impl Default for Logins {
    fn default() -> Self {
        let Limits { free_failures, free_failures_per_address, longest_wait } = Limits::default();
        Self { free_failures, free_failures_per_address, longest_wait }
    }
}

impl Logins {
    pub fn limits(&self) -> Limits {
        Limits {
            free_failures: self.free_failures,
            free_failures_per_address: self.free_failures_per_address,
            longest_wait: self.longest_wait,
        }
    }
}

/// `[access.kerberos]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kerberos {
    /// The file with the keys of `HTTP/host@REALM`.
    pub keytab: Option<PathBuf>,
    /// The users that principals stand for; the first match counts. Without it `alice@REALM` is the user `alice`, in
    /// the keytab's realm only.
    pub principals: Vec<PrincipalRule>,
}
