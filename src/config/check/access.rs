//! Checks `[access]`, and what a listener that offers Kerberos needs of it.

use url::Url;

use crate::access::AuthenticationMethod;
use crate::access::oidc::settings::Oidc;
use crate::access::principal::Principals;
use crate::config::error::ConfigError;
use crate::config::listener::Listener;
use crate::config::settings::Config;

impl Config {
    /// Returns the users that principals stand for by the settings.
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
        let offered =
            |listener: &Listener| listener.ways_in.contains(&AuthenticationMethod::Negotiate);
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

/// Checks that an origin is written as browsers send it in `Origin`: scheme, host, and the port if it is not the
/// scheme's own. `*` is refused, because it would let every page on the internet into networks that only the browser
/// reaches.
fn check_origin(text: &str) -> Result<(), &'static str> {
    let url: Url = text.parse().map_err(|_| "not an origin")?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("not an origin of http or https");
    }
    if url.origin().ascii_serialization() != text {
        return Err("not in the form that browsers send, which has only scheme, host and port");
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
