//! `[access.oidc]`: the outside issuer whose tokens are accepted, and the rights that they give.

use std::time::Duration;

use serde::Deserialize;
use url::{Host, Url};

use crate::model::Role;

/// `[access.oidc]`: JWTs of one outside issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// The issuer, exactly as in the `iss` of its tokens.
    pub issuer: String,
    pub audience: String,
    #[serde(default = "sub")]
    pub name_claim: String,
    /// The name of a claim, or a path of names with dots.
    pub roles_claim: String,
    /// The names of the algorithms in RFC 7518. None with a shared secret can be set.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// The address of the keys; if omitted, the one that the issuer's discovery document names.
    pub keys_url: Option<Url>,
    #[serde(default = "one_day", with = "humantime_serde")]
    pub keys_kept: Duration,
    pub grant: Vec<Grant>,
}

/// `[[access.oidc.grant]]`: the rights that one value of the roles' claim gives. This is a list rather than a table,
/// because environment variables cannot express keys with capitals.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub value: String,
    pub roles: Vec<Role>,
    /// Patterns of images; an empty list means all images.
    #[serde(default)]
    pub images: Vec<String>,
}

fn sub() -> String {
    "sub".to_owned()
}

fn algorithms() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(str::to_owned).into()
}

fn one_day() -> Duration {
    Duration::from_hours(24)
}

/// The shortest `keys_kept`. Keys are fetched every ten seconds at most.
const SHORTEST_KEPT: Duration = Duration::from_secs(15);

const ASYMMETRIC: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

impl Oidc {
    /// Checks the values, and names the wrong one by its key below `access.oidc`.
    ///
    /// # Errors
    ///
    /// Returns the key and the values that it takes.
    pub fn check(&self) -> Result<(), String> {
        let fail = |what: &str| Err(format!("access.oidc.{what}"));
        let issuer = Url::parse(&self.issuer).ok();
        if !issuer.is_some_and(|url| is_safe(&url) && url.query().is_none()) {
            return fail(
                "issuer: must be an https URL (http only on this machine) without a query",
            );
        }
        if !self.keys_url.as_ref().is_none_or(is_safe) {
            return fail("keys_url: must be an https URL (http only on this machine)");
        }
        if self.keys_kept < SHORTEST_KEPT {
            return fail("keys_kept: must be at least 15s");
        }
        if self.audience.is_empty() || self.name_claim.is_empty() || self.roles_claim.is_empty() {
            return fail("audience, name_claim and roles_claim: must not be empty");
        }
        let pinned = |name: &String| ASYMMETRIC.contains(&name.as_str());
        if self.algorithms.is_empty() || !self.algorithms.iter().all(pinned) {
            return fail(&format!("algorithms: must be one or more of {}", ASYMMETRIC.join(", ")));
        }
        if self.grant.iter().any(|grant| grant.roles.is_empty() || grant.value.is_empty()) {
            return fail("grant: each entry must have a value and at least one role");
        }
        Ok(())
    }
}

/// Reports whether an address is safe. Anyone who can change keys in transit can impersonate any caller, so they have
/// to come over TLS or must not leave the machine.
pub fn is_safe(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oidc(line: &str) -> Result<(), String> {
        let text = format!(
            "audience = 'a'\nroles_claim = 'r'\ngrant = [{{value = 'v', roles = ['reader']}}]\n{line}"
        );
        let oidc: Oidc = toml::from_str(&text).unwrap();
        oidc.check()
    }

    #[test]
    fn an_issuer_without_tls_is_refused_but_on_this_machine() {
        for good in ["https://login.example.com/x", "http://127.0.0.1:3000", "http://[::1]:1/"] {
            assert_eq!(oidc(&format!("issuer = '{good}'")), Ok(()), "{good}");
        }
        for bad in ["http://login.example.com", "file:///etc/keys", "127.0.0.1", "ftp://127.0.0.1"]
        {
            assert!(oidc(&format!("issuer = '{bad}'")).is_err(), "{bad}");
        }
    }

    #[test]
    fn algorithms_with_a_shared_secret_cannot_be_set() {
        for bad in ["HS256", "none", "rs256"] {
            let line = format!("issuer = 'https://x.example'\nalgorithms = ['RS256', '{bad}']");
            assert!(oidc(&line).is_err_and(|error| error.contains("algorithms")), "{bad}");
        }
    }
}
