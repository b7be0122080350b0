//! Whether a caller may still do at the end what it was let in for at the start: bytes move for hours, and in the meantime a user is
//! disabled, a token revoked, a right taken away.

use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{ImageName, Role, pattern, token};
use crate::storage::Tx;

/// What a caller may now.
struct Standing {
    roles: Vec<Role>,
    images: Vec<String>,
}

impl Catalog {
    /// Refuses a caller who may not publish this image any more. Callers of an outside issuer are not known here; their tokens end by
    /// themselves.
    pub(in crate::catalog) async fn must_still_publish(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: &ImageName,
    ) -> Result<()> {
        let standing = if let Some(name) = actor.name.strip_prefix(token::CALLER_PREFIX) {
            let token = tx.live_token_by_key(&name.to_ascii_lowercase(), self.clock.now()).await?;
            token.map(|token| Standing { roles: token.roles, images: token.images })
        } else if actor.name.contains(':') {
            return Ok(());
        } else {
            let account = tx.account_by_key(&actor.name.to_ascii_lowercase()).await?;
            let account = account.filter(|account| !account.disabled);
            account.map(|account| Standing { roles: account.roles, images: account.images })
        };
        if standing.is_some_and(|standing| standing.may_publish(image)) {
            return Ok(());
        }
        Err(Error::Forbidden(
            "the right to publish this image was taken away while the bytes were on their way",
        ))
    }
}

impl Standing {
    fn may_publish(&self, image: &ImageName) -> bool {
        let may = self.roles.iter().any(|role| matches!(role, Role::Publisher | Role::Admin));
        may && pattern::covers(&self.images, image)
    }
}
