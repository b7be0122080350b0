//! The end of a session: closed or cancelled by its client, expired, or ended together with its draft.

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::rules::Commit;
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{BitsSession, BitsSessionState as State, UploadState, token};

/// The time for which a closed session is kept. A client that missed the answer to Close asks again within its own
/// time-outs; a day is more than all of them.
const CLOSED_KEPT: TimeDelta = TimeDelta::days(1);

/// The time after which an unfinished conclusion counts as interrupted. A request that has finished an upload continues
/// at once.
const CUT_OFF_AFTER: TimeDelta = TimeDelta::minutes(1);

/// The progress of a session's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    None,
    Some,
    All,
    /// All bytes are there and are the draft's file. The steps that follow may still have to be done.
    Given,
    /// Nothing is left to do.
    Settled,
}

impl Catalog {
    /// Ends a session for good. If only some of the bytes have arrived, they are deleted: there is no half upload.
    /// Repeating it changes nothing.
    pub async fn close_bits_session(&self, actor: &Actor, session: &BitsSession) -> Result<()> {
        match self.bytes_of(actor, session).await? {
            Bytes::All | Bytes::Given => self.commit_bits_session(actor, session).await?,
            Bytes::Some => self.drop_bytes(actor, session).await?,
            Bytes::None => {
                self.drop_bytes(actor, session).await?;
                self.forget_bits_session(session).await?;
                // A client that takes Close for success would believe that its file is there.
                return Err(Error::NothingCame);
            }
            Bytes::Settled => {}
        }
        let from = [State::Open, State::Claimed, State::Receiving, State::Complete];
        self.move_on(session, &from, State::Closed).await
    }

    /// Discards what has arrived, unless the file is the draft's already: then only the session ends.
    pub async fn cancel_bits_session(&self, actor: &Actor, session: &BitsSession) -> Result<()> {
        let bytes = self.bytes_of(actor, session).await?;
        let at_the_end = bytes == Bytes::All && self.rules().bits.commit == Commit::LastFragment;
        if matches!(bytes, Bytes::Given | Bytes::Settled) || at_the_end {
            return self.close_bits_session(actor, session).await;
        }
        self.drop_bytes(actor, session).await?;
        self.forget_bits_session(session).await
    }

    async fn bytes_of(&self, actor: &Actor, session: &BitsSession) -> Result<Bytes> {
        match session.state {
            State::Complete | State::Closed => return Ok(Bytes::Settled),
            State::Open => return Ok(Bytes::None),
            State::Claimed | State::Receiving => {}
        }
        match self.upload(actor, session.id).await {
            Ok(upload) if upload.state == UploadState::Complete => Ok(Bytes::Given),
            Ok(upload) if upload.is_full() => Ok(Bytes::All),
            Ok(_) => Ok(Bytes::Some),
            Err(Error::UploadNotFound) if session.state == State::Claimed => Ok(Bytes::None),
            Err(error) => Err(error),
        }
    }

    async fn drop_bytes(&self, actor: &Actor, session: &BitsSession) -> Result<()> {
        match self.cancel_upload(actor, session.id).await {
            Ok(()) | Err(Error::UploadNotFound) => Ok(()),
            Err(other) => Err(other),
        }
    }

    async fn forget_bits_session(&self, session: &BitsSession) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.delete_bits_session(session.id).await?;
        Ok(tx.commit().await?)
    }

    /// Ends a session whose draft was sealed or deleted by someone else. The client is told that the session is
    /// unknown, and sends the file into the next draft.
    pub(super) async fn lost_with_its_draft(
        &self,
        actor: &Actor,
        session: &BitsSession,
        error: Error,
    ) -> Error {
        let draft_is_gone = matches!(
            error,
            Error::RevisionSealed(_)
                | Error::RevisionDeleted(_)
                | Error::RevisionNotFound(_)
                | Error::ImageNotFound
        );
        if !draft_is_gone {
            return error;
        }
        tracing::info!(bits.session = %session.id, "a BITS session ended because its draft is gone: {error}");
        for ended in
            [self.drop_bytes(actor, session).await, self.forget_bits_session(session).await]
        {
            if let Err(error) = ended {
                return error;
            }
        }
        Error::UploadNotFound
    }

    /// Returns the expiry limit: sessions that are unchanged since then have expired.
    pub(super) fn idle_since(&self) -> DateTime<Utc> {
        TimeDelta::from_std(self.rules().uploads.expire_after)
            .ok()
            .and_then(|lifetime| self.clock.now().checked_sub_signed(lifetime))
            .unwrap_or(DateTime::UNIX_EPOCH)
    }

    pub(super) fn closed_since(&self) -> DateTime<Utc> {
        self.idle_since().max(self.clock.now() - CLOSED_KEPT)
    }

    /// Ends sessions that no client returns to: BITS sessions and all other uploads.
    pub(crate) async fn end_stale_sessions(&self) -> Result<()> {
        // This comes before uploads expire, because uploads show which sessions these are, and the server may have been
        // down for long.
        self.conclude_cut_off_bits_sessions().await?;
        self.expire_uploads().await?;
        self.forget_ended_bits_sessions().await
    }

    /// Concludes sessions that a kill interrupted and no client returned to. A session that fails is left for the next
    /// sweep and does not stop the others.
    async fn conclude_cut_off_bits_sessions(&self) -> Result<()> {
        let cut_off = self.clock.now() - CUT_OFF_AFTER;
        let left = self.db.read().await?.unconcluded_bits_sessions(cut_off).await?;
        for session in left {
            let owner = self.owner_of(&session);
            if let Err(error) = self.conclude_bits_session(&owner, &session).await {
                if error.is_database_unreachable() {
                    return Err(error);
                }
                tracing::warn!(%error, bits.session = %session.id,
                    "a draft could not be sealed; the next sweep tries again");
            }
        }
        Ok(())
    }

    /// Deletes sessions that are over: closed long ago, expired, or without the upload that they had.
    async fn forget_ended_bits_sessions(&self) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.forget_bits_sessions(self.closed_since(), self.idle_since()).await?;
        Ok(tx.commit().await?)
    }

    /// Returns the creator of the session with the current roles; without any if the account or the token is gone.
    fn owner_of(&self, session: &BitsSession) -> Actor {
        let snapshot = self.snapshot();
        let name = &session.created_by;
        let roles = match name.strip_prefix(token::CALLER_PREFIX) {
            Some(name) => name
                .parse()
                .ok()
                .and_then(|name| snapshot.token_by_name(&name, self.clock.now()))
                .map(|token| token.roles.clone()),
            // The roles that an external issuer gives to a caller are known only during the caller's own requests.
            None => name
                .parse()
                .ok()
                .and_then(|name| snapshot.account(&name))
                .filter(|account| !account.disabled)
                .map(|account| account.roles.clone()),
        };
        Actor {
            name: name.clone(),
            roles: roles.unwrap_or_default(),
            request_id: None,
            address: None,
        }
    }
}
