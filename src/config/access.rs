//! `[access]`: what concerns all ways in.

mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

pub use tokens::Tokens;

use super::{Config, ConfigError};
use crate::access::WayIn;
use crate::access::login_throttle::Limits;
use crate::access::oidc::settings::Oidc;
use crate::access::principal::{PrincipalRule, Principals};

/// `[access]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Origins of web pages, such as `https://dash.example.com`, that browsers let call the API.
    pub cors: Vec<String>,
    pub logins: Logins,
    pub tokens: Tokens,
    /// Without it only the depot's own tokens count.
    pub oidc: Option<Oidc>,
    pub kerberos: Kerberos,
}

/// `[access.logins]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logins {
    /// Wrong passwords of one address for one account that cost no wait.
    pub free_failures: u32,
    /// The same for any account.
    pub free_failures_per_address: u32,
    /// The longest wait after wrong passwords of one address for one account; for an address alone it is a
    /// fifteenth.
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
    /// The keys of `HTTP/host@REALM`.
    pub keytab: Option<PathBuf>,
    /// Which users principals are, the first match counts; without it `alice@REALM` is the user `alice`, in the
    /// keytab's realm only.
    pub principals: Vec<PrincipalRule>,
}

impl Config {
    /// Who principals are, by the settings.
    pub fn principals(&self) -> Result<Principals, ConfigError> {
        Principals::new(&self.access.kerberos.principals)
            .map_err(|error| ConfigError::new(format!("access.kerberos.principals: {error}")))
    }

    pub(super) fn check_access(&self) -> Result<(), ConfigError> {
        for origin in &self.access.cors {
            check_origin(origin).map_err(|wrong| {
                ConfigError::new(format!(
                    "access.cors: {origin:?} is {wrong}, such as https://dash.example.com"
                ))
            })?;
        }
        self.access.tokens.check()?;
        self.access.oidc.as_ref().map_or(Ok(()), Oidc::check).map_err(ConfigError::new)?;
        self.principals()?;
        let offered = |listener: &super::Listener| listener.ways_in.contains(&WayIn::Negotiate);
        let Some(number) = self.listener.iter().position(offered).map(|index| index + 1) else {
            return Ok(());
        };
        if cfg!(not(feature = "negotiate")) {
            return Err(ConfigError::new(format!(
                "listener {number}: ways_in: this program was built without negotiate; build it with \
                 --features negotiate"
            )));
        }
        let keytab = self.access.kerberos.keytab.as_ref().ok_or_else(|| {
            ConfigError::new(format!(
                "listener {number}: ways_in: negotiate needs access.kerberos.keytab"
            ))
        })?;
        std::fs::File::open(keytab).map(drop).map_err(|error| {
            ConfigError::new(format!("access.kerberos.keytab: {}: {error}", keytab.display()))
        })
    }
}

/// What browsers send as `Origin`: scheme, host, port if it is not the scheme's own. `*` would hand every page
/// on the internet a way into networks that only the browser reaches.
fn check_origin(text: &str) -> Result<(), &'static str> {
    let url: Url = text.parse().map_err(|_| "no origin")?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("no origin of http or https");
    }
    if url.origin().ascii_serialization() != text {
        return Err("not written as browsers send it: scheme, host and port alone");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "negotiate"))]
    #[test]
    fn negotiate_is_refused_where_it_is_not_built_in() {
        let text = "[[listener]]\naddress = '127.0.0.1:1'\nways_in = ['negotiate']\n";
        let config: Config = toml::from_str(text).unwrap();
        let refused = config.complete(std::path::Path::new("data"), None).unwrap_err().to_string();
        assert!(refused.contains("--features negotiate"), "{refused}");
    }

    #[test]
    fn origins_are_taken_only_as_browsers_send_them() {
        for origin in ["https://dash.example.com", "http://localhost:3000", "http://[::1]:3000"] {
            assert!(check_origin(origin).is_ok(), "{origin}");
        }
        for origin in [
            "*",
            "null",
            "dash.example.com",
            "https://dash.example.com/",
            "https://D.example.com",
            "https://dash.example.com:443",
            "file:///x",
            "https://a.example.com/b",
        ] {
            assert!(check_origin(origin).is_err(), "{origin}");
        }
    }
}
