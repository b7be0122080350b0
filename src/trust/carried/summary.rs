//! The plain words in which a carried file says what is signed with it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Carried;
use crate::trust::key::KeyId;
use crate::trust::metadata::{Metadata as _, RoleKeys, Root, Target, Targets};
use crate::trust::moment::Moment;
use crate::trust::role::RoleName;

/// The number of targets that are named one by one.
const NAMED: usize = 200;

/// The contents of a carried file for people.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The next root; none if it stays.
    pub root: Option<RootSummary>,
    /// The files of the targets' roles; none if they stay.
    pub targets: Option<TargetsSummary>,
    pub signatures: Vec<Signatures>,
}

/// The next root.
#[derive(Debug, Serialize)]
pub struct RootSummary {
    pub version: i64,
    pub expires: Moment,
    pub roles: Vec<RoleSummary>,
}

/// The keys of a role, and those of before if they are others.
#[derive(Debug, Serialize)]
pub struct RoleSummary {
    pub role: &'static str,
    pub threshold: u32,
    pub keys: Vec<KeyId>,
    pub before: Option<KeysBefore>,
}

/// The keys of a role that are replaced.
#[derive(Debug, Serialize)]
pub struct KeysBefore {
    pub threshold: u32,
    pub keys: Vec<KeyId>,
}

/// The files of the targets' roles, and what changes with them.
#[derive(Debug, Serialize)]
pub struct TargetsSummary {
    pub files: usize,
    pub expires: Moment,
    pub targets: usize,
    pub new: Vec<String>,
    pub changed: Vec<String>,
    pub gone: Vec<String>,
}

/// The signatures by somebody.
#[derive(Debug, Serialize)]
pub struct Signatures {
    pub by: String,
    pub found: usize,
    pub threshold: u32,
    pub missing: usize,
    pub keys_left: Vec<KeyId>,
}

impl Carried {
    pub fn summary(&self) -> Summary {
        let signatures = self.needs().into_iter().map(|need| Signatures {
            by: need.by.to_string(),
            found: need.found,
            threshold: need.threshold,
            missing: need.missing(),
            keys_left: need.left,
        });
        Summary {
            root: self.next.as_ref().map(|next| root(next, &self.before)),
            targets: targets(&self.files, &self.replaced),
            signatures: signatures.collect(),
        }
    }
}

fn root(next: &Root, before: &Root) -> RootSummary {
    let roles = [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];
    let names = ["root", "targets", "snapshot", "timestamp"];
    let role = |(role, name)| {
        let (RoleKeys { keyids, threshold }, old) = (next.keys_of(role), before.keys_of(role));
        let is_other = keyids != &old.keyids || *threshold != old.threshold;
        let before =
            is_other.then(|| KeysBefore { threshold: old.threshold, keys: old.keyids.clone() });
        RoleSummary { role: name, threshold: *threshold, keys: keyids.clone(), before }
    };
    let roles = roles.into_iter().zip(names).map(role).collect();
    RootSummary { version: next.header.version, expires: next.header.expires, roles }
}

fn targets(
    files: &BTreeMap<RoleName, Targets>,
    replaced: &BTreeMap<RoleName, Targets>,
) -> Option<TargetsSummary> {
    let expires = files.values().map(|file| file.header().expires).min()?;
    let all = |files: &BTreeMap<RoleName, Targets>| -> BTreeMap<String, Target> {
        files.values().flat_map(|file| file.targets.clone()).collect()
    };
    let (now, before) = (all(files), all(replaced));
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for (path, target) in &now {
        match before.get(path) {
            None => new.push(line(path, target)),
            Some(old) if old != target => changed.push(line(path, target)),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|path| !now.contains_key(*path)).cloned().collect();
    Some(TargetsSummary { files: files.len(), expires, targets: now.len(), new, changed, gone })
}

fn line(path: &str, target: &Target) -> String {
    format!("{path} ({} bytes, sha256:{})", target.length, target.hashes.sha256)
}

impl Summary {
    /// Returns the lines for a terminal.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(root) = &self.root {
            lines
                .push(format!("the next root: version {}, expires {}", root.version, root.expires));
            lines.extend(root.roles.iter().flat_map(RoleSummary::lines));
        }
        if let Some(targets) = &self.targets {
            lines.extend(targets.lines());
        }
        for Signatures { by, found, threshold, missing, keys_left } in &self.signatures {
            lines.push(format!("signed with {found} of {threshold} signatures by {by}"));
            if *missing > 0 {
                lines.push(format!("  {missing} more by {}", joined(keys_left, " or ")));
            }
        }
        lines
    }
}

impl RoleSummary {
    fn lines(&self) -> Vec<String> {
        let Self { role, threshold, keys, before } = self;
        let (all, named) = (keys.len(), joined(keys, ", "));
        let mut lines = vec![format!("  {role:<9}  {threshold} of {all} keys: {named}")];
        if let Some(KeysBefore { threshold, keys }) = before {
            let (all, named) = (keys.len(), joined(keys, ", "));
            lines.push(format!("             before: {threshold} of {all} keys: {named}"));
        }
        lines
    }
}

impl TargetsSummary {
    fn lines(&self) -> Vec<String> {
        let Self { files, expires, targets, new, changed, gone } = self;
        let mut lines = vec![format!(
            "targets: {files} files with {targets} targets ({} new, {} changed, {} gone), which expire {expires}",
            new.len(),
            changed.len(),
            gone.len()
        )];
        for (word, paths) in [("new", new), ("changed", changed), ("gone", gone)] {
            lines.extend(paths.iter().take(NAMED).map(|path| format!("  {word:<7}  {path}")));
            if paths.len() > NAMED {
                lines.push(format!("  {word:<7}  and {} more", paths.len() - NAMED));
            }
        }
        lines
    }
}

fn joined(keys: &[KeyId], between: &str) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}
