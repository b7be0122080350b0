//! What has to be done so that the tree is what the catalog says: a pure function.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{Digest, FileRole, Publication, PublicationState};
use crate::storage::OfferedFile;

/// A file that a channel's folder is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    pub role: FileRole,
    pub blob_id: Uuid,
    pub blob_key: String,
    pub size: u64,
    pub digest: Digest,
    pub sealed_at: DateTime<Utc>,
}

impl Wanted {
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

/// What stands in the tree under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The blob's published form.
    Right,
    /// Something else: damaged, or somebody's own.
    Other,
}

/// A file that imagedepot put into the tree, and what stands there now.
#[derive(Debug, Clone)]
pub struct Known {
    pub publication: Publication,
    pub found: Found,
}

/// One step; they are carried out in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the file appear, or replace a damaged one.
    Publish {
        publication: Publication,
        wanted: Wanted,
    },
    /// The file is right; its record is brought up to date.
    Acknowledge {
        publication: Publication,
    },
    WriteManifest {
        path: String,
        content: Bytes,
    },
    RemoveManifest {
        path: String,
    },
    /// The file is no longer offered, and goes at the given time.
    Withdraw {
        publication: Publication,
        at: DateTime<Utc>,
    },
    /// Take the file out of the tree.
    Remove {
        publication: Publication,
    },
    /// The file is gone, or is somebody else's by now: only the record goes.
    Forget {
        publication: Publication,
    },
    /// A foreign file stands where one of ours should: only a person can decide.
    Conflict {
        path: String,
    },
}

impl Step {
    /// The verb, for people and programs that read a plan.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Publish { .. } => "publish",
            Self::Acknowledge { .. } => "acknowledge",
            Self::WriteManifest { .. } => "write_manifest",
            Self::RemoveManifest { .. } => "remove_manifest",
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
            Self::WriteManifest { path, .. }
            | Self::RemoveManifest { path }
            | Self::Conflict { path } => path,
        }
    }

    /// Big files appear first and go last; the index in between tells clients that they are there.
    fn rank(&self) -> u8 {
        match self {
            Self::Publish { publication, .. } if publication.role == FileRole::Index => 1,
            Self::Publish { .. } => 0,
            Self::Acknowledge { .. } | Self::Conflict { .. } => 2,
            Self::WriteManifest { .. } => 3,
            Self::RemoveManifest { .. } => 4,
            Self::Remove { publication } if publication.role == FileRole::Index => 5,
            Self::Withdraw { .. } => 6,
            Self::Remove { .. } => 7,
            Self::Forget { .. } => 8,
        }
    }
}

/// What is to be done, and what was seen on the way.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Files that imagedepot did not make; listed, never deleted.
    pub foreign: Vec<String>,
    /// When the next withdrawn file may go.
    pub next_withdrawal: Option<DateTime<Utc>>,
    /// Every path that is, or is about to be, imagedepot's.
    pub(super) ours: BTreeSet<String>,
}

impl Plan {
    pub(super) fn write_manifest(&mut self, path: String, content: Bytes) {
        self.insert(Step::WriteManifest { path, content });
    }

    pub(super) fn report_conflict(&mut self, path: String) {
        self.insert(Step::Conflict { path });
    }

    pub(super) fn remove_manifests(&mut self, paths: impl Iterator<Item = String>) {
        for path in paths {
            self.insert(Step::RemoveManifest { path });
        }
    }

    fn insert(&mut self, step: Step) {
        let place = self.steps.partition_point(|other| other.rank() <= step.rank());
        self.steps.insert(place, step);
    }
}

/// Compares what is wanted with what is known and found.
pub fn plan(
    wanted: Vec<(String, Wanted, Found)>,
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
    wanted: Wanted,
    found: Found,
    record: Option<&Known>,
) -> Option<Step> {
    let publication = wanted.publication(path);
    match (found, record) {
        (Found::Right, Some(known)) if known.publication == publication => None,
        (Found::Right, _) => Some(Step::Acknowledge { publication }),
        // Without a record the file is not ours, whatever it is called.
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
    if publication.role == FileRole::Index {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn wanted(role: FileRole) -> Wanted {
        Wanted {
            channel_id: Uuid::nil(),
            revision_id: Uuid::nil(),
            role,
            blob_id: Uuid::nil(),
            blob_key: "key".to_owned(),
            size: 1,
            digest: Digest::of(b"x"),
            sealed_at: at(0),
        }
    }

    fn known(path: &str, role: FileRole, found: Found) -> Known {
        Known { publication: wanted(role).publication(path), found }
    }

    fn verbs(plan: &Plan) -> Vec<(&'static str, &str)> {
        plan.steps.iter().map(|step| (step.verb(), step.path())).collect()
    }

    #[test]
    fn the_index_appears_last_and_goes_first() {
        let wanted = vec![
            ("b.ckm.index".to_owned(), wanted(FileRole::Index), Found::Nothing),
            ("b.ckm".to_owned(), wanted(FileRole::Ckm), Found::Nothing),
        ];
        let known = vec![
            known("a.ckm", FileRole::Ckm, Found::Right),
            known("a.ckm.index", FileRole::Index, Found::Right),
        ];
        let plan = plan(wanted, known, at(100), TimeDelta::seconds(50));
        assert_eq!(
            verbs(&plan),
            [
                ("publish", "b.ckm"),
                ("publish", "b.ckm.index"),
                ("remove", "a.ckm.index"),
                ("withdraw", "a.ckm")
            ]
        );
        assert_eq!(plan.next_withdrawal, Some(at(150)));
    }

    #[test]
    fn what_is_right_is_not_touched() {
        let wanted = vec![("a.ckm".to_owned(), wanted(FileRole::Ckm), Found::Right)];
        let plan = plan(
            wanted,
            vec![known("a.ckm", FileRole::Ckm, Found::Right)],
            at(0),
            TimeDelta::zero(),
        );
        assert_eq!(plan.steps, []);
    }

    #[test]
    fn a_foreign_file_is_neither_replaced_nor_removed() {
        let in_the_way = vec![("a.ckm".to_owned(), wanted(FileRole::Ckm), Found::Other)];
        assert_eq!(
            verbs(&plan(in_the_way, vec![], at(0), TimeDelta::zero())),
            [("conflict", "a.ckm")]
        );
        let replaced = vec![known("a.ckm.index", FileRole::Index, Found::Other)];
        assert_eq!(
            verbs(&plan(vec![], replaced, at(0), TimeDelta::zero())),
            [("forget", "a.ckm.index")]
        );
    }

    #[test]
    fn a_missing_or_damaged_file_of_ours_is_published_again() {
        for found in [Found::Nothing, Found::Other] {
            let wanted = vec![("a.ckm".to_owned(), wanted(FileRole::Ckm), found)];
            let plan =
                plan(wanted, vec![known("a.ckm", FileRole::Ckm, found)], at(0), TimeDelta::zero());
            assert_eq!(verbs(&plan), [("publish", "a.ckm")]);
        }
    }

    #[test]
    fn a_withdrawn_file_goes_when_its_grace_is_over() {
        let mut file = known("a.ckm", FileRole::Ckm, Found::Right);
        file.publication.withdraw_at = Some(at(10));
        let early = plan(vec![], vec![file.clone()], at(9), TimeDelta::zero());
        assert_eq!((verbs(&early), early.next_withdrawal), (vec![], Some(at(10))));
        assert_eq!(
            verbs(&plan(vec![], vec![file], at(10), TimeDelta::zero())),
            [("remove", "a.ckm")]
        );
    }
}
