//! A caller that was recognised.

use std::sync::Arc;

use super::WayIn;
use crate::model::{Account, ImageName, Role, pattern};

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

/// Compares without regard to case.
fn matches(pattern: &str, name: &str) -> bool {
    pattern::matches(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_images_have_no_regard_to_case() {
        assert!(matches("Win*", "WIN7") && matches("x", "X") && !matches("win*", "xwin"));
    }
}
