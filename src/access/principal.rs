//! The users that Kerberos principals stand for.
//!
//! This needs no Kerberos library, so that `check-config` can read the rules in every build.

use serde::Deserialize;

/// One entry of `access.kerberos.principals`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalRule {
    /// The principal: `alice@EXAMPLE.COM`, `host/*@EXAMPLE.COM`. One `*` stands for any characters except `/` and `@`.
    pub principal: String,
    /// The user's name. A `*` stands for the same text as in `principal`.
    pub user: String,
}

/// The reason why a rule is refused.
#[derive(Debug, thiserror::Error)]
#[error("{principal}: {wrong}")]
pub struct UnfitRule {
    principal: String,
    wrong: &'static str,
}

/// The rules, in their order.
#[derive(Debug, Clone, Default)]
pub struct Principals(Vec<PrincipalRule>);

impl Principals {
    /// Checks the rules. An empty list means the default rule.
    pub fn new(rules: &[PrincipalRule]) -> Result<Self, UnfitRule> {
        for rule in rules {
            rule.check().map_err(|wrong| UnfitRule { principal: rule.principal.clone(), wrong })?;
        }
        Ok(Self(rules.to_vec()))
    }

    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the default rule if there are no rules: `alice@REALM` is the user `alice`, but only in the server's own
    /// realm, because the same name in a realm that it trusts is another person's. Principals of several parts, such as
    /// `host/…`, then stand for no user.
    #[must_use]
    pub fn or_those_of(self, realm: &str) -> Self {
        if !self.is_default() {
            return self;
        }
        Self(vec![PrincipalRule { principal: format!("*@{realm}"), user: "*".to_owned() }])
    }

    /// Returns the name of the user that a principal stands for, by the first rule that fits. Realms are compared
    /// exactly, as Kerberos does.
    pub fn user_of(&self, principal: &str) -> Option<String> {
        // An escaped character would make one part look like two.
        if principal.contains('\\') {
            return None;
        }
        self.0.iter().find_map(|rule| rule.user_of(principal))
    }
}

impl PrincipalRule {
    fn check(&self) -> Result<(), &'static str> {
        let (name, realm) = self.principal.rsplit_once('@').ok_or("a principal needs a realm")?;
        if name.is_empty() || realm.is_empty() || name.contains('@') {
            return Err("a principal must have the form NAME@REALM");
        }
        if realm.contains('*') {
            return Err("a realm must not contain *: anyone who runs a realm could be any user");
        }
        match (name.matches('*').count(), self.user.matches('*').count()) {
            (0, 0) | (1, 0 | 1) => Ok(()),
            (0, _) => Err("user has a *, but principal has none"),
            _ => Err("at most one * is allowed"),
        }
    }

    fn user_of(&self, principal: &str) -> Option<String> {
        let Some((head, tail)) = self.principal.split_once('*') else {
            return (self.principal == principal).then(|| self.user.clone());
        };
        let middle = principal.strip_prefix(head)?.strip_suffix(tail)?;
        (!middle.is_empty() && !middle.contains(['/', '@'])).then(|| self.user.replace('*', middle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[(&str, &str)]) -> Result<Principals, UnfitRule> {
        let rule = |(principal, user): &(&str, &str)| PrincipalRule {
            principal: (*principal).to_owned(),
            user: (*user).to_owned(),
        };
        Principals::new(&rules.iter().map(rule).collect::<Vec<_>>())
    }

    #[test]
    fn without_rules_people_of_the_own_realm_are_users_of_their_name() {
        let principals = Principals::default().or_those_of("EXAMPLE.COM");
        assert_eq!(principals.user_of("alice@EXAMPLE.COM").as_deref(), Some("alice"));
        for other in [
            "alice@OTHER.COM",
            "alice@example.com",
            "alice@X@EXAMPLE.COM",
            "alice\\@EXAMPLE.COM@EXAMPLE.COM",
            "alice/admin@EXAMPLE.COM",
            "host/pc1@EXAMPLE.COM",
            "@EXAMPLE.COM",
            "alice",
            "alice@EXAMPLE.COM@OTHER.COM",
        ] {
            assert_eq!(principals.user_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let principals = rules(&[
            ("root@A", "admin"),
            ("host/*@A", "machines"),
            ("*@A", "*"),
            ("*@B", "partner-*"),
        ])
        .unwrap()
        .or_those_of("C");
        for (principal, user) in [
            ("root@A", Some("admin")),
            ("host/pc1.a.com@A", Some("machines")),
            ("alice@A", Some("alice")),
            ("alice@B", Some("partner-alice")),
            ("alice@C", None),
            ("host/pc1/x@A", None),
        ] {
            assert_eq!(principals.user_of(principal).as_deref(), user, "{principal}");
        }
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        for (principal, user) in [
            ("alice", "alice"),
            ("*@*", "*"),
            ("*@", "x"),
            ("@A", "x"),
            ("alice@A", "*"),
            ("*/*@A", "x"),
            ("a@b@A", "x"),
        ] {
            assert!(rules(&[(principal, user)]).is_err(), "{principal}");
        }
    }
}
