//! The rights that operations ask for, as types: a handler that takes `Caller<Promote>` cannot be
//! reached without the right, and a reader of its signature sees which it is.

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
    /// Be somebody: whoever has valid credentials.
    BeKnown,
    "log in",
    [Role::Client, Role::Reader, Role::Publisher, Role::Promoter, Role::Admin]
);
permission!(
    /// Read images, channels, publications, metrics.
    Read,
    "read the catalog",
    [Role::Reader, Role::Publisher, Role::Promoter, Role::Admin]
);
permission!(
    /// Make images and drafts, upload, seal; delete drafts of one's own.
    Publish,
    "publish images",
    [Role::Publisher, Role::Admin]
);
permission!(
    /// Promote and roll back; publishers only where the channel names their role.
    Promote,
    "promote revisions",
    [Role::Publisher, Role::Promoter, Role::Admin]
);
permission!(
    /// Revoke revisions.
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
