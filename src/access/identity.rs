//! A caller who was recognised.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::AuthenticationMethod;
use crate::catalog::Snapshot;
use crate::model::pattern::{self, matches_any_case};
use crate::model::{Account, ApiToken, ImageName, Role};

/// The identity of a caller, and the authentication method that it used.
#[derive(Debug, Clone)]
pub struct Identity {
    who: Who,
    way: AuthenticationMethod,
}

#[derive(Debug, Clone)]
enum Who {
    /// A user of the catalog.
    User(Arc<Account>),
    /// The holder of one of the depot's own tokens, and its name as a caller.
    Token(Arc<ApiToken>, Arc<str>),
    /// A caller whom an outside issuer vouches for.
    Outsider(Arc<Outsider>),
}

#[derive(Debug)]
struct Outsider {
    name: String,
    roles: Vec<Role>,
    images: Vec<String>,
}

impl Identity {
    pub(super) fn user(account: Arc<Account>, way: AuthenticationMethod) -> Self {
        Self { who: Who::User(account), way }
    }

    pub(super) fn token(token: Arc<ApiToken>) -> Self {
        let name = token.caller_name().into();
        Self { who: Who::Token(token, name), way: AuthenticationMethod::Bearer }
    }

    pub(super) fn outsider(name: String, roles: Vec<Role>, images: Vec<String>) -> Self {
        let outsider = Outsider { name, roles, images };
        Self { who: Who::Outsider(outsider.into()), way: AuthenticationMethod::Bearer }
    }

    /// Returns the name that logs and the audit contain, and to which uploads and repeats of requests are bound. Users'
    /// names contain no colon, so those of tokens (`token:NAME`) and of outsiders (`oidc:NAME`) are never a user's.
    pub fn name(&self) -> &str {
        match &self.who {
            Who::User(account) => account.name.as_str(),
            Who::Token(_, name) => name,
            Who::Outsider(outsider) => &outsider.name,
        }
    }

    pub fn roles(&self) -> &[Role] {
        match &self.who {
            Who::User(account) => &account.roles,
            Who::Token(token, _) => &token.roles,
            Who::Outsider(outsider) => &outsider.roles,
        }
    }

    /// Returns patterns of the images that the caller is confined to; an empty list means all images.
    pub fn images(&self) -> &[String] {
        match &self.who {
            Who::User(account) => &account.images,
            Who::Token(token, _) => &token.images,
            Who::Outsider(outsider) => &outsider.images,
        }
    }

    /// Returns the caller's id, if it has one, and its rights, without the name. The value changes with any of these.
    pub fn standing(&self) -> impl Serialize {
        let id = match &self.who {
            Who::User(account) => Some(account.id),
            Who::Token(token, _) => Some(token.id),
            Who::Outsider(_) => None,
        };
        (id, self.roles().to_vec(), self.images().to_vec())
    }

    /// Reports whether the caller would still be recognised, with the same rights. Of callers of an outside issuer nothing
    /// is stored here.
    pub fn is_still_known(&self, snapshot: &Snapshot, now: DateTime<Utc>) -> bool {
        match &self.who {
            Who::User(account) => snapshot.account(&account.name).is_some_and(|current| {
                !current.disabled
                    && current.id == account.id
                    && current.password_hash == account.password_hash
                    && current.roles == account.roles
                    && current.images == account.images
            }),
            Who::Token(token, _) => {
                snapshot.token(token.id).is_some_and(|current| current.is_live(now))
            }
            Who::Outsider(_) => true,
        }
    }

    /// Reports whether the caller's rights come from an outside issuer.
    pub fn is_outsider(&self) -> bool {
        matches!(self.who, Who::Outsider(_))
    }

    pub fn way(&self) -> AuthenticationMethod {
        self.way
    }

    pub fn holds_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.roles().contains(role))
    }

    /// Reports whether the caller may give rights on the images of these patterns: it may only for images of its own.
    pub fn covers_all_of(&self, patterns: &[String]) -> bool {
        let own = self.images();
        // A star in one of the caller's patterns matches anything that a star within it can stand for.
        let covered = |asked: &String| own.iter().any(|pattern| matches_any_case(pattern, asked));
        own.is_empty() || (!patterns.is_empty() && patterns.iter().all(covered))
    }

    /// Returns the token that the caller used, if it is one of the depot's own.
    pub fn api_token(&self) -> Option<&ApiToken> {
        match &self.who {
            Who::Token(token, _) => Some(token),
            Who::User(_) | Who::Outsider(_) => None,
        }
    }

    /// Reports whether the caller may know of the image.
    pub fn covers(&self, image: &ImageName) -> bool {
        pattern::covers(self.images(), image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confined_to(images: &[&str]) -> Identity {
        let images = images.iter().map(ToString::to_string).collect();
        Identity::outsider("oidc:x".to_owned(), vec![Role::Admin], images)
    }

    #[test]
    fn nobody_hands_out_more_images_than_it_has() {
        let covers = |own: &[&str], asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(ToString::to_string).collect();
            confined_to(own).covers_all_of(&asked)
        };
        assert!(covers(&[], &[]) && covers(&[], &["*"]));
        assert!(covers(&["win7-*"], &["win7-office", "WIN7-*-x", "win7-*"]));
        assert!(covers(&["a*c", "b"], &["a*b*c", "b"]));
        for (own, asked) in [
            (["win7-*"], &[] as &[&str]),
            (["win7-*"], &["*"]),
            (["win7-*"], &["win7*"]),
            (["win7-*"], &["win7-office", "lab"]),
            (["a*c"], &["a*"]),
            (["lab"], &["la*"]),
        ] {
            assert!(!covers(&own, asked), "{own:?} {asked:?}");
        }
    }

    #[test]
    fn patterns_of_images_have_no_regard_to_case() {
        assert!(matches_any_case("Win*", "WIN7") && matches_any_case("x", "X"));
        assert!(!matches_any_case("win*", "xwin"));
    }
}
