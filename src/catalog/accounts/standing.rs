//! The check at the end of a transfer that a caller still has the right that it had at the start. Bytes are transferred
//! for hours, and meanwhile a user may be disabled, a token revoked, or a right removed.

use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{ImageName, Role, pattern, token};
use crate::storage::Tx;

/// The current rights of a caller.
struct CurrentRights {
    roles: Vec<Role>,
    images: Vec<String>,
}

impl Catalog {
    /// Refuses a caller who may no longer publish this image. Callers of an external issuer are not stored here; their
    /// tokens expire by themselves.
    pub(in crate::catalog) async fn must_still_publish(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: &ImageName,
    ) -> Result<()> {
        let standing = if let Some(name) = actor.name.strip_prefix(token::CALLER_PREFIX) {
            let token = tx.live_token_by_key(&name.to_ascii_lowercase(), self.clock.now()).await?;
            token.map(|token| CurrentRights { roles: token.roles, images: token.images })
        } else if actor.name.contains(':') {
            return Ok(());
        } else {
            let account = tx.account_by_key(&actor.name.to_ascii_lowercase()).await?;
            let account = account.filter(|account| !account.disabled);
            account.map(|account| CurrentRights { roles: account.roles, images: account.images })
        };
        if standing.is_some_and(|standing| standing.may_publish(image)) {
            return Ok(());
        }
        Err(Error::Forbidden(
            "the right to publish this image was removed while the bytes were being uploaded",
        ))
    }
}

impl CurrentRights {
    fn may_publish(&self, image: &ImageName) -> bool {
        let may = self.roles.iter().any(|role| matches!(role, Role::Publisher | Role::Admin));
        may && pattern::covers(&self.images, image)
    }
}
