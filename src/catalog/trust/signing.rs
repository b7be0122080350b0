//! Signs the metadata in the background: after each change of what is offered, and before files become old.
//!
//! One server signs ([`Job::Sign`]), and it is harmless if two do: the transaction compares the timestamp's number with
//! the one that the signing began from, so that of two signings one is discarded, and no number is signed twice. Changes
//! that come close to each other are signed together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::files::{moment, time};
use super::limits::{KEPT_FOR, SNAPSHOTS_KEPT};
use super::signer::{Beginning, Held, broken};
use super::targets::targets;
use crate::catalog::job::{Done, Round, Trigger};
use crate::catalog::{Catalog, Error, Result, Snapshot};
use crate::model::{Digest, Job, metric};
use crate::storage::{Change, StorageError, TrustRow, Tx};
use crate::trust::generation::{self, Before, SignedFile, Signer, due};
use crate::trust::metadata::{Metadata as _, Root};
use crate::trust::{KeyPair, RoleName};

/// The shortest time between two signings.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// The longest time between two looks for something to sign.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// The delay after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Everything that a signing has made, to be written in one transaction.
pub(super) struct Signed {
    pub(super) files: Vec<SignedFile>,
    pub(super) new_keys: Vec<KeyPair>,
    /// The number of the timestamp before.
    pub(super) expected: Option<i64>,
}

impl Catalog {
    /// Keeps the metadata signed, until cancelled.
    pub async fn keep_signing(&self) {
        loop {
            let wanted = Trigger::For { version: self.snapshot().version() };
            let round = self.do_round(Job::Sign, wanted, RETRY_AFTER, self.sign_once());
            let wait = match round.await {
                Ok(Round::Done(due_at)) => self.until(due_at),
                Ok(Round::NotBefore(at)) => self.until(at),
                Err(error) => {
                    tracing::warn!(%error, "the metadata of the tree could not be signed; the server tries again");
                    RETRY_AFTER
                }
            };
            self.show_trust();
            let due = self.shared.signing_is_due.notified();
            let _awake = tokio::join!(
                tokio::time::sleep(AT_MOST_EVERY),
                tokio::time::timeout(wait.min(LOOK_EVERY), due)
            );
        }
    }

    async fn sign_once(&self) -> Result<Done<DateTime<Utc>>> {
        let held = Held::read(&mut self.db.read().await?).await?;
        // Read after the numbers: then the files in force and the offer are at least as new as these.
        self.try_refresh().await?;
        let snapshot = self.snapshot().clone();
        let mut version = snapshot.version();
        let signed = self.sign_snapshot(held, snapshot).await?;
        if !signed.files.is_empty() {
            let mut tx = self.db.write_to_free().await?;
            let raised = self.write_signed(&mut tx, &signed).await?;
            tx.commit().await?;
            // A change that came in between is not signed yet.
            if raised == version + 1 {
                version = raised;
            }
            metric::TRUST_SIGNINGS.increment(1);
            self.refresh().await;
            self.tree_is_due();
        }
        let due_at = self.signing_due_at();
        Ok(Done { result: due_at, version, due_at })
    }

    async fn sign_snapshot(&self, held: Held, snapshot: Arc<Snapshot>) -> Result<Signed> {
        let (lives, now) = (self.rules().trust.lives(), moment(self.clock.now()));
        let signing = tokio::task::spawn_blocking(move || {
            let root = snapshot.trust.root()?;
            let (root, first, new_keys) = if let Some(root) = root {
                (root, None, Vec::new())
            } else {
                let Beginning { root, file, keys } = Beginning::new(lives, now)?;
                (root, Some(file), keys)
            };
            let keys = if new_keys.is_empty() { &held.keys } else { &new_keys };
            let (root, renewed) = renewed(root, keys, lives.root, now);
            let with = Signer { root: &root, keys, lives, now };
            let mut signed = sign(&snapshot, &held, &with)?;
            let roots = first.into_iter().chain(renewed);
            signed.files.splice(0..0, roots);
            signed.new_keys = new_keys;
            Ok::<_, Error>(signed)
        });
        signing.await.map_err(|error| StorageError::Unavailable(error.to_string()))?
    }

    /// Writes what was signed, and returns the version of the catalog from which it is in force.
    pub(super) async fn write_signed(&self, tx: &mut Tx, signed: &Signed) -> Result<i64> {
        let now = self.clock.now();
        let number = |role| signed.files.iter().rfind(|file| file.role == role).map(|f| f.version);
        let next = number(RoleName::Timestamp).or(signed.expected).unwrap_or(0);
        if !tx.draw_timestamp_number(signed.expected, next).await? {
            // Another server has signed meanwhile; the next round begins from what that has signed.
            return Err(Error::JobTaken);
        }
        self.insert_trust_keys(tx, &signed.new_keys).await?;
        let version = tx.raise_catalog_version(Change::Trust).await?;
        for file in &signed.files {
            tx.insert_trust_file(&row(file)?, version).await?;
        }
        tx.settle_trust_files(version, now).await?;
        if let Some(newest) = number(RoleName::Snapshot) {
            tx.forget_trust_files(now - KEPT_FOR, newest - SNAPSHOTS_KEPT).await?;
        }
        Ok(version)
    }

    pub(super) async fn insert_trust_keys(&self, tx: &mut Tx, keys: &[KeyPair]) -> Result<()> {
        let now = self.clock.now();
        for key in keys {
            let secret = key.secret().map_err(|error| broken(&error.to_string()))?;
            let secret = secrecy::ExposeSecret::expose_secret(&secret);
            tx.insert_trust_key(&key.id().to_string(), secret, now).await?;
        }
        Ok(())
    }

    /// Returns the time when a file in force has to be signed again.
    fn signing_due_at(&self) -> DateTime<Utc> {
        let lives = self.rules().trust.lives();
        let snapshot = self.snapshot();
        let times = snapshot
            .trust
            .iter()
            .map(|file| time(due(moment(file.expires_at), lives.of(file.role))));
        // An expired root whose keys are elsewhere is not looked at all the time.
        let earliest = self.clock.now() + AT_MOST_EVERY;
        times.min().unwrap_or(earliest).clamp(earliest, earliest + LOOK_EVERY)
    }

    /// Shows when the files in force expire.
    pub(crate) fn show_trust(&self) {
        let lives = self.rules().trust.lives();
        let snapshot = self.snapshot();
        let mut expiries: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
        let mut due_at = None;
        for file in snapshot.trust.iter() {
            let label = match file.role {
                RoleName::Root => "root",
                RoleName::Targets | RoleName::Bin(_) => "targets",
                RoleName::Snapshot => "snapshot",
                RoleName::Timestamp => "timestamp",
            };
            let expiry = expiries.entry(label).or_insert(file.expires_at);
            *expiry = file.expires_at.min(*expiry);
            let due = time(due(moment(file.expires_at), lives.of(file.role)));
            due_at = Some(due_at.map_or(due, |earliest: DateTime<Utc>| earliest.min(due)));
        }
        for (label, expiry) in expiries {
            metric::TRUST_EXPIRY.with([label]).set(seconds(expiry));
        }
        metric::TRUST_SIGNING_DUE.set(due_at.map_or(0.0, seconds));
        // Every server shows it, whoever signs.
        metric::TRUST_PENDING.set(if self.waits_for_keys(&snapshot) { 1.0 } else { 0.0 });
    }

    /// Reports whether something has to be signed with targets' keys that are elsewhere.
    fn waits_for_keys(&self, snapshot: &Snapshot) -> bool {
        let Some(signed) = snapshot.trust.elsewhere() else { return false };
        let due = self.clock.now() + self.rules().trust.lives().targets / 3;
        let of_targets = |role| matches!(role, RoleName::Targets | RoleName::Bin(_));
        !signed.is(&targets(snapshot))
            || snapshot.trust.iter().any(|file| of_targets(file.role) && file.expires_at <= due)
    }
}

/// Returns the root in force from now on: the next one, if this one becomes old and its keys are here.
pub(super) fn renewed(
    root: Root,
    keys: &[KeyPair],
    life: Duration,
    now: crate::trust::Moment,
) -> (Root, Option<SignedFile>) {
    if now < due(root.header().expires, life) {
        return (root, None);
    }
    let next = root.renewed(now.after(life));
    match next.sign(Some(&root), keys) {
        Some(file) => (next, Some(file)),
        None => (root, None),
    }
}

/// Signs what the snapshot offers.
pub(super) fn sign(snapshot: &Snapshot, held: &Held, signer: &Signer<'_>) -> Result<Signed> {
    let before = before(snapshot, held)?;
    let generation = generation::next(&before, &targets(snapshot), signer)
        .map_err(|error| broken(&error.to_string()))?;
    let expected = held.number(RoleName::Timestamp);
    Ok(Signed { files: generation.files, new_keys: Vec::new(), expected })
}

/// Returns the state that a signing begins from, unless another server has signed between the readings.
pub(super) fn before(snapshot: &Snapshot, held: &Held) -> Result<Before> {
    let standing = snapshot.trust.standing();
    let known = standing.get(&RoleName::Timestamp).map(|file| file.version);
    if known.is_some() && known != held.number(RoleName::Timestamp) {
        return Err(Error::JobTaken);
    }
    Ok(Before { standing, highest: held.numbers.clone() })
}

fn row(file: &SignedFile) -> Result<TrustRow> {
    let content = String::from_utf8(file.bytes.clone())
        .map_err(|_| broken("the signed bytes are not text"))?;
    Ok(TrustRow {
        trust_role: file.role.to_string(),
        version: file.version,
        content,
        digest: Digest::of(&file.bytes),
        meaning: file.meaning,
        expires_at: time(file.expires),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a gauge has no better number")]
fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp() as f64
}
