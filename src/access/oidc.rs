//! JWTs of one outside OpenID Connect issuer: the names of its users here, and their rights.
//!
//! They are not users of the catalog. Such a caller is named `oidc:NAME`, which no user can be, so that an issuer whose
//! users choose their own names cannot make anyone a local user. [`keys`] holds the issuer's public keys, [`claims`]
//! reads the content of its tokens, and [`settings`] is the part of the settings about it.

pub mod claims;
pub mod keys;
pub mod settings;

use jsonwebtoken::Algorithm;

use super::{Denied, Identity, jwt};
use crate::model::Role;
use claims::Claims;
use keys::KeySource;
use settings::Oidc;

/// The difference that is allowed between the clocks of the two organisations, in seconds.
const LEEWAY: u64 = 30;

/// The kinds of token that carry a caller's rights: access tokens (RFC 9068), and tokens of issuers that do not
/// distinguish kinds. Log-out tokens, security events and proofs are signed with the same keys, but refused.
const KINDS: [&str; 2] = ["at+jwt", "jwt"];

const LONGEST_NAME: usize = 200;

/// The outside issuer that the settings name.
pub struct Issuer {
    settings: Oidc,
    algorithms: Vec<Algorithm>,
    keys: KeySource,
}

impl Issuer {
    pub fn new(settings: &Oidc) -> Result<Self, reqwest::Error> {
        let algorithms: Vec<_> =
            settings.algorithms.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Self {
            keys: KeySource::new(settings, algorithms.clone())?,
            algorithms,
            settings: settings.clone(),
        })
    }

    /// Keeps the issuer's keys up to date, until it is cancelled.
    pub async fn follow(&self) {
        self.keys.follow().await;
    }

    pub(super) async fn authenticate(
        &self,
        token: &str,
        head: &jwt::Head,
    ) -> Result<Identity, Denied> {
        if head.kind().is_some_and(|kind| !KINDS.contains(&kind.as_str())) {
            return Err(Denied::BadToken("it is a token for another purpose"));
        }
        let algorithm = head
            .alg
            .parse()
            .ok()
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or(Denied::BadToken("its algorithm is not accepted here"))?;
        let candidates = self.keys.find(head.kid.as_deref(), algorithm).await?;
        let expected = jwt::Expected {
            issuer: &self.settings.issuer,
            audience: &self.settings.audience,
            leeway: LEEWAY,
        };
        let verify = |key| jwt::verify::<Claims>(token, key, algorithm, &expected);
        let wrong = Denied::BadToken("its signature is wrong");
        // Issuers may give one id to keys of several kinds.
        let claims = candidates.iter().map(verify).fold(Err(wrong), Result::or)?;
        self.identity(&claims)
    }

    fn identity(&self, claims: &Claims) -> Result<Identity, Denied> {
        let name = claims
            .text(&self.settings.name_claim)
            .filter(|name| is_fit(name))
            .ok_or(Denied::BadToken("the claim with its holder's name is missing or not valid"))?;
        let (roles, images) = self.rights(&claims.values(&self.settings.roles_claim));
        if roles.is_empty() {
            return Err(Denied::NoGrant);
        }
        Ok(Identity::outsider(format!("oidc:{name}"), roles, images))
    }

    /// Returns the roles and the images of a caller. The first grant that matches decides the images. Other grants only
    /// add their roles if they have exactly the same images: otherwise a role on some images and another on all would
    /// both become roles on all.
    fn rights(&self, values: &[String]) -> (Vec<Role>, Vec<String>) {
        let mut matching = self.settings.grant.iter().filter(|grant| values.contains(&grant.value));
        let Some(first) = matching.next() else { return (Vec::new(), Vec::new()) };
        let mut roles = first.roles.clone();
        for grant in matching.filter(|grant| grant.images == first.images) {
            roles.extend(grant.roles.iter().filter(|role| !first.roles.contains(role)));
        }
        (roles, first.images.clone())
    }
}

/// Reports whether a name is acceptable. Names appear in logs, in the audit and on terminals, so text that could pass
/// for something else there is refused.
fn is_fit(name: &str) -> bool {
    let visible = |c: char| !c.is_control() && !c.is_whitespace();
    (1..=LONGEST_NAME).contains(&name.chars().count()) && name.chars().all(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> Issuer {
        let settings: Oidc = toml::from_str(
            "issuer = 'https://x.example'\naudience = 'a'\nroles_claim = 'groups'\n\
             grant = [{value = 'office', roles = ['publisher'], images = ['win7-*']},\n\
             {value = 'all', roles = ['reader']},\n\
             {value = 'office-lead', roles = ['promoter', 'publisher'], images = ['win7-*']}]",
        )
        .unwrap();
        jwt::install_cryptography();
        Issuer::new(&settings).unwrap()
    }

    fn rights(values: &[&str]) -> (Vec<Role>, Vec<String>) {
        issuer().rights(&values.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn roles_add_up_for_the_same_images_and_never_for_others() {
        let office = vec!["win7-*".to_owned()];
        assert_eq!(rights(&["all"]), (vec![Role::Reader], vec![]));
        assert_eq!(rights(&["all", "office"]), (vec![Role::Publisher], office.clone()));
        let both = rights(&["office-lead", "office"]);
        assert_eq!(both.1, office);
        assert!(both.0.contains(&Role::Promoter) && both.0.contains(&Role::Publisher));
        assert_eq!(rights(&["Office", "", "offic"]), (vec![], vec![]));
    }

    #[test]
    fn names_that_could_forge_a_log_line_are_unfit() {
        assert!(is_fit("alice@example.com") && is_fit("zoë") && is_fit("auth0|5f7"));
        for name in ["", "a b", "a\nb", "a\u{0}", "a\u{7f}", &"x".repeat(201)] {
            assert!(!is_fit(name), "{name:?}");
        }
    }
}
