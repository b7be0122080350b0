//! The rights that operations require, as types: a handler that takes `Caller<Promote>` cannot be reached without the
//! right, and its signature shows which right that is.

use crate::model::Role;

/// A right, and the roles that carry it.
pub trait Permission: 'static {
    const ROLES: &'static [Role];
    /// Completes "this needs the right to …".
    const NAME: &'static str;
}

macro_rules! permission {
    ($(#[$doc:meta])* $type:ident, $name:literal, $roles:expr) => {
        $(#[$doc])*
        pub struct $type;
        impl Permission for $type {
            const ROLES: &'static [Role] = &$roles;
            const NAME: &'static str = $name;
        }
    };
}

permission!(
    /// Being recognised: any caller with valid credentials.
    BeKnown,
    "log in",
    [Role::Client, Role::Reader, Role::Publisher, Role::Promoter, Role::Admin]
);
permission!(
    /// Reading images, channels, publications and metrics.
    Read,
    "read the catalog",
    [Role::Reader, Role::Publisher, Role::Promoter, Role::Admin]
);
permission!(
    /// Creating images and drafts, uploading, sealing, and deleting one's own drafts.
    Publish,
    "publish images",
    [Role::Publisher, Role::Admin]
);
permission!(
    /// Promoting, rolling back and withdrawing. Publishers may only in channels that name their role.
    Promote,
    "promote revisions",
    [Role::Publisher, Role::Promoter, Role::Admin]
);
permission!(
    /// Revoking revisions.
    Revoke,
    "revoke revisions",
    [Role::Promoter, Role::Admin]
);
permission!(
    /// Everything else.
    Administer,
    "administer the server",
    [Role::Admin]
);
