//! A caller that was recognised.

use std::sync::Arc;

use super::WayIn;
use crate::model::{Account, ImageName, Role};

/// Who is calling, and which way it came.
#[derive(Debug, Clone)]
pub struct Identity {
    who: Who,
    way: WayIn,
}

#[derive(Debug, Clone)]
enum Who {
    /// A user of the catalog.
    User(Arc<Account>),
}

impl Identity {
    pub(super) fn user(account: Arc<Account>, way: WayIn) -> Self {
        Self { who: Who::User(account), way }
    }

    pub fn name(&self) -> &str {
        match &self.who {
            Who::User(account) => account.name.as_str(),
        }
    }

    pub fn roles(&self) -> &[Role] {
        match &self.who {
            Who::User(account) => &account.roles,
        }
    }

    /// Patterns of the images that the caller is confined to; none is all images.
    pub fn images(&self) -> &[String] {
        match &self.who {
            Who::User(account) => &account.images,
        }
    }

    pub fn way(&self) -> WayIn {
        self.way
    }

    pub fn holds_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.roles().contains(role))
    }

    /// Whether the image is one that the caller may know of.
    pub fn covers(&self, image: &ImageName) -> bool {
        let patterns = self.images();
        patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, image.as_str()))
    }
}

/// Compares without regard to case; `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let mut pieces = tail.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The first place is the best one: it leaves most to the pieces that follow.
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name) in
            [("win*", "WIN7"), ("*", "x"), ("a*b*c", "a-b-b-c"), ("lab-*-x", "lab--x"), ("x", "X")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("win*", "xwin"), ("a*b", "abc"), ("ab*ba", "aba"), ("a*b*c", "acb"), ("x", "xy")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
