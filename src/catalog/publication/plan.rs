//! The steps that bring the tree up to date with the catalog: a pure function.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{Digest, FileRole, FolderDocument, Publication, PublicationState, TransferFile};
use crate::storage::OfferedFile;
use crate::storage::tree::Original;

/// A file that a channel's folder should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    pub role: FileRole,
    pub blob_id: Uuid,
    pub blob_key: String,
    pub size: u64,
    pub digest: Digest,
    pub sealed_at: DateTime<Utc>,
}

impl WantedFile {
    pub(super) fn of(file: OfferedFile) -> Self {
        Self {
            channel_id: file.channel_id,
            revision_id: file.revision_id,
            role: file.role,
            blob_id: file.blob_id,
            blob_key: file.blob_key,
            size: file.size,
            digest: file.digest,
            sealed_at: file.sealed_at,
        }
    }

    /// A chunk list or a delta, beside the file that it leads to.
    pub(super) fn of_transfer(transfer: &TransferFile, file: &OfferedFile) -> Self {
        Self {
            channel_id: file.channel_id,
            revision_id: file.revision_id,
            role: file.role,
            blob_id: transfer.blob_id,
            blob_key: transfer.blob_key.clone(),
            size: transfer.size,
            digest: transfer.digest,
            sealed_at: file.sealed_at,
        }
    }

    pub(super) fn original(&self) -> Original {
        Original {
            blob_key: self.blob_key.clone(),
            size: self.size,
            digest: self.digest,
            sealed_at: self.sealed_at,
        }
    }

    fn publication(&self, path: &str) -> Publication {
        Publication {
            path: path.to_owned(),
            channel_id: self.channel_id,
            revision_id: self.revision_id,
            role: self.role,
            blob_id: self.blob_id,
            digest: self.digest,
            state: PublicationState::Published,
            withdraw_at: None,
        }
    }
}

/// The kind of file that was found in the tree under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The blob's published form.
    Right,
    /// Something else: a damaged file, or a user's own.
    Other,
}

/// A file that imagedepot put into the tree, and what is there now.
#[derive(Debug, Clone)]
pub struct Known {
    pub publication: Publication,
    pub found: Found,
    /// True if the file gets no grace period: it is damaged, or clients must not get any more of it.
    pub goes_at_once: bool,
    /// The time until which the file stays nevertheless, for the repair to read.
    pub rescue_until: Option<DateTime<Utc>>,
}

/// A document of a channel's folder as it should be in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedDocument {
    pub path: String,
    pub document: FolderDocument,
    pub content: Bytes,
}

/// One step. Steps are carried out in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Makes the file appear, or replaces a damaged one.
    Publish {
        publication: Publication,
        wanted: WantedFile,
    },
    /// Brings the record up to date. The file itself is correct.
    Acknowledge {
        publication: Publication,
    },
    WriteDocument(WantedDocument),
    RemoveDocument {
        path: String,
    },
    /// Records that the file is no longer offered, and will be removed at the given time.
    Withdraw {
        publication: Publication,
        at: DateTime<Utc>,
    },
    /// Removes the file from the tree.
    Remove {
        publication: Publication,
    },
    /// Removes only the record, because a foreign file has taken the place of ours.
    Forget {
        publication: Publication,
    },
    /// Reports a foreign file in the place of one of ours: only a person can decide.
    Conflict {
        path: String,
    },
}

impl Step {
    /// Returns the verb, for people and programs that read a plan.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Publish { .. } => "publish",
            Self::Acknowledge { .. } => "acknowledge",
            // Programs know these words from the time when the manifest was the only document.
            Self::WriteDocument(_) => "write_manifest",
            Self::RemoveDocument { .. } => "remove_manifest",
            Self::Withdraw { .. } => "withdraw",
            Self::Remove { .. } => "remove",
            Self::Forget { .. } => "forget",
            Self::Conflict { .. } => "conflict",
        }
    }

    pub fn path(&self) -> &str {
        match self {
            Self::Publish { publication, .. }
            | Self::Acknowledge { publication }
            | Self::Withdraw { publication, .. }
            | Self::Remove { publication }
            | Self::Forget { publication } => &publication.path,
            Self::WriteDocument(wanted) => &wanted.path,
            Self::RemoveDocument { path } | Self::Conflict { path } => path,
        }
    }

    /// Returns the place in the order of steps. Large files appear first and are removed last; the index in between
    /// tells clients that they are there.
    fn rank(&self) -> u8 {
        match self {
            Self::Publish { publication, .. } if publication.role == FileRole::Index => 1,
            Self::Publish { .. } => 0,
            Self::Acknowledge { .. } | Self::Conflict { .. } => 2,
            Self::WriteDocument(_) => 3,
            Self::RemoveDocument { .. } => 4,
            Self::Remove { publication } if publication.role == FileRole::Index => 5,
            Self::Withdraw { .. } => 6,
            Self::Remove { .. } => 7,
            Self::Forget { .. } => 8,
        }
    }
}

/// The steps to carry out, and what was found on the way.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Files that imagedepot did not make; listed, never deleted.
    pub foreign: Vec<String>,
    /// The time when the next withdrawn file may be removed.
    pub next_withdrawal: Option<DateTime<Utc>>,
    /// The time when the next document may be written whose last version was written in the current second.
    pub next_document: Option<DateTime<Utc>>,
    /// Every path that belongs to imagedepot, or is about to.
    pub(super) ours: BTreeSet<String>,
}

impl Plan {
    pub(super) fn write_document(&mut self, wanted: WantedDocument) {
        self.insert(Step::WriteDocument(wanted));
    }

    pub(super) fn write_later(&mut self, date: DateTime<Utc>) {
        self.next_document = Some(self.next_document.map_or(date, |next| next.min(date)));
    }

    pub(super) fn report_conflict(&mut self, path: String) {
        self.insert(Step::Conflict { path });
    }

    pub(super) fn remove_documents(&mut self, paths: impl Iterator<Item = String>) {
        for path in paths {
            self.insert(Step::RemoveDocument { path });
        }
    }

    fn insert(&mut self, step: Step) {
        let place = self.steps.partition_point(|other| other.rank() <= step.rank());
        self.steps.insert(place, step);
    }
}

/// Compares what is wanted with what is known and found.
pub fn plan(
    wanted: Vec<(String, WantedFile, Found)>,
    known: Vec<Known>,
    now: DateTime<Utc>,
    grace: TimeDelta,
) -> Plan {
    let mut plan = Plan::default();
    let mut known: BTreeMap<String, Known> =
        known.into_iter().map(|known| (known.publication.path.clone(), known)).collect();
    for (path, wanted, found) in wanted {
        let record = known.remove(&path);
        let step = step_for_wanted(&path, wanted, found, record.as_ref());
        if !matches!(step, Some(Step::Conflict { .. })) {
            plan.ours.insert(path);
        }
        plan.steps.extend(step);
    }
    for known in known.into_values() {
        if known.found == Found::Right {
            plan.ours.insert(known.publication.path.clone());
        }
        plan.steps.extend(step_for_unwanted(known, now, grace, &mut plan.next_withdrawal));
    }
    plan.steps.sort_by_key(Step::rank);
    plan
}

fn step_for_wanted(
    path: &str,
    wanted: WantedFile,
    found: Found,
    record: Option<&Known>,
) -> Option<Step> {
    let publication = wanted.publication(path);
    match (found, record) {
        (Found::Right, Some(known)) if known.publication == publication => None,
        // A file that was made from a damaged blob may look correct and be just as damaged.
        (Found::Right, Some(known)) if known.publication.blob_id != publication.blob_id => {
            Some(Step::Publish { publication, wanted })
        }
        (Found::Right, _) => Some(Step::Acknowledge { publication }),
        // Without a record the file is not ours, whatever its name is.
        (Found::Other, None) => Some(Step::Conflict { path: path.to_owned() }),
        (Found::Other, Some(_)) | (Found::Nothing, _) => {
            Some(Step::Publish { publication, wanted })
        }
    }
}

fn step_for_unwanted(
    known: Known,
    now: DateTime<Utc>,
    grace: TimeDelta,
    next_withdrawal: &mut Option<DateTime<Utc>>,
) -> Option<Step> {
    let publication = known.publication;
    if known.found == Found::Other {
        return Some(Step::Forget { publication });
    }
    if let Some(until) = known.rescue_until.filter(|until| *until > now) {
        *next_withdrawal = Some(next_withdrawal.map_or(until, |next| next.min(until)));
        return None;
    }
    let is_going = publication.state == PublicationState::Removing;
    if publication.role == FileRole::Index || known.goes_at_once || is_going {
        return Some(Step::Remove { publication });
    }
    let due = match publication.withdraw_at {
        Some(at) if at <= now => return Some(Step::Remove { publication }),
        Some(at) => at,
        None => now.checked_add_signed(grace).unwrap_or(DateTime::<Utc>::MAX_UTC),
    };
    *next_withdrawal = Some(next_withdrawal.map_or(due, |next| next.min(due)));
    publication.withdraw_at.is_none().then_some(Step::Withdraw { publication, at: due })
}
