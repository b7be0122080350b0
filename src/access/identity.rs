//! A caller that was recognised.

use std::sync::Arc;

use crate::model::{Account, ImageName, Role};

/// Who is calling: a user of the catalog.
#[derive(Debug, Clone)]
pub struct Identity(Arc<Account>);

impl Identity {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self(account)
    }

    pub fn name(&self) -> &str {
        self.0.name.as_str()
    }

    pub fn roles(&self) -> &[Role] {
        &self.0.roles
    }

    /// Patterns of the images that the caller is confined to; none is all images.
    pub fn images(&self) -> &[String] {
        &self.0.images
    }

    pub fn holds_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.0.roles.contains(role))
    }

    /// Whether the image is one that the caller may know of.
    pub fn covers(&self, image: &ImageName) -> bool {
        self.0.images.is_empty()
            || self.0.images.iter().any(|pattern| matches(pattern, image.as_str()))
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
