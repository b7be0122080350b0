//! The file that a person carries from the server to the keys that are kept elsewhere, and back with their signatures.
//!
//! It has everything that has to be signed at one time: the next root, or files of the targets' roles, or both. Whoever
//! signs needs nothing else to see what that is ([`summary`]): the root in force and the files that are replaced are in
//! it, too, each with the signatures under which clients believe it. The server that made it keeps nothing of it, and
//! believes nothing in it but these signatures.

pub mod summary;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::trouble::{By, Need, Trouble};
use super::envelope::Envelope;
use super::generation::{self, SignedFile};
use super::key::{KeyId, KeyPair};
use super::metadata::{RoleKeys, Root, Targets};
use super::role::RoleName;

/// The first field of every such file.
const KIND: &str = "imagedepot signing request 1";

/// The contents of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contents {
    kind: String,
    /// The root in force.
    root_before: Envelope,
    /// The next root; absent if the root stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<Envelope>,
    /// The files of the targets' roles that have to be signed, by role.
    files: BTreeMap<String, Envelope>,
    /// The files in force that they replace.
    replaced: BTreeMap<String, Envelope>,
    /// The documents of the tree that the new files describe, by path: they stay as they are until the next signing.
    documents: BTreeMap<String, String>,
}

/// A file whose parts were read, and fit each other.
#[derive(Debug, Clone)]
pub struct Carried {
    contents: Contents,
    before: Root,
    next: Option<Root>,
    files: BTreeMap<RoleName, Targets>,
    replaced: BTreeMap<RoleName, Targets>,
}

/// The parts of a new file.
#[derive(Debug)]
pub struct Parts<'a> {
    pub root_before: &'a [u8],
    /// The next root, with the signatures of the keys at hand.
    pub root: Option<Envelope>,
    pub files: &'a [SignedFile],
    pub replaced: BTreeMap<RoleName, &'a [u8]>,
    pub documents: BTreeMap<String, String>,
}

impl Carried {
    pub fn new(parts: Parts<'_>) -> Result<Self, Trouble> {
        let Parts { root_before, root, files, replaced, documents } = parts;
        let files = files.iter().map(|file| (file.role, file.bytes.as_slice())).collect();
        Self::fitting(Contents {
            kind: KIND.to_owned(),
            root_before: Envelope::read(root_before)?,
            root,
            files: envelopes(files)?,
            replaced: envelopes(replaced)?,
            documents,
        })
    }

    pub fn read(bytes: &[u8]) -> Result<Self, Trouble> {
        let contents: Contents = serde_json::from_slice(bytes).map_err(|_| Trouble::NotCarried)?;
        if contents.kind == KIND { Self::fitting(contents) } else { Err(Trouble::NotCarried) }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, Trouble> {
        let mut bytes = serde_json::to_vec(&self.contents)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Compares the parts with each other.
    fn fitting(contents: Contents) -> Result<Self, Trouble> {
        let before: Root = contents.root_before.content()?;
        if !contents.root_before.is_signed_by(&before.roles.root, &before.keys) {
            return Err(Trouble::changed("the root in force is not signed by its own keys"));
        }
        let next = contents.root.as_ref().map(Envelope::content::<Root>).transpose()?;
        if let Some(next) = &next {
            must_follow(next, &before)?;
        }
        let files = targets(&contents.files)?;
        let replaced = targets(&contents.replaced)?;
        for (role, envelope) in &contents.replaced {
            if !envelope.is_signed_by(&before.roles.targets, &before.keys) {
                return Err(Trouble::changed(&format!("the file {role} in force is not signed")));
            }
        }
        let carried = Self { contents, before, next, files, replaced };
        carried.must_delegate_to_its_own_keys()?;
        Ok(carried)
    }

    /// Refuses files that would let other keys sign than the root names.
    fn must_delegate_to_its_own_keys(&self) -> Result<(), Trouble> {
        let expected = generation::delegations(self.next_root());
        for (role, file) in &self.files {
            let fits = match (role, &file.delegations) {
                (RoleName::Targets, Some(found)) => *found == expected && file.targets.is_empty(),
                (_, found) => found.is_none(),
            };
            if !fits {
                return Err(Trouble::changed(&format!("the file {role} delegates to other keys")));
            }
        }
        Ok(())
    }

    pub const fn root_before(&self) -> &Root {
        &self.before
    }

    /// Returns the root that is in force after the file was taken.
    pub fn next_root(&self) -> &Root {
        self.next.as_ref().unwrap_or(&self.before)
    }

    /// Returns the content of each file of the targets' roles that is to be signed.
    pub const fn files(&self) -> &BTreeMap<RoleName, Targets> {
        &self.files
    }

    /// Returns the documents of the tree, by path.
    pub const fn documents(&self) -> &BTreeMap<String, String> {
        &self.contents.documents
    }

    /// Signs everything that the key may sign, and returns for whom it has done so.
    pub fn sign(&mut self, key: &KeyPair) -> Result<Vec<By>, Trouble> {
        let asked: Vec<By> = self
            .asked()
            .into_iter()
            .filter(|(_, keys)| keys.keyids.contains(key.id()))
            .map(|(by, _)| by)
            .collect();
        if asked.is_empty() {
            return Err(Trouble::NotAsked(key.id().clone()));
        }
        if asked.contains(&By::Targets) {
            self.contents.files.values_mut().for_each(|file| file.add_signature(key));
        }
        if asked.iter().any(|by| *by != By::Targets)
            && let Some(root) = &mut self.contents.root
        {
            root.add_signature(key);
        }
        Ok(asked)
    }

    /// Returns those who have to sign, with the keys that they may use.
    fn asked(&self) -> Vec<(By, &RoleKeys)> {
        let next = self.next_root();
        let root = self.next.as_ref().into_iter().flat_map(|next| {
            let (before, new) = (&self.before, next);
            [
                (By::RootBefore(before.header.version), &before.roles.root),
                (By::Root(new.header.version), &new.roles.root),
            ]
        });
        let targets = (!self.files.is_empty()).then_some((By::Targets, &next.roles.targets));
        root.chain(targets).collect()
    }

    /// Returns the signatures that are needed, and those that are there.
    pub fn needs(&self) -> Vec<Need> {
        let next = self.next_root();
        let signed = |by: By, role: &RoleKeys| match by {
            By::RootBefore(_) => self.signers_of_root(role, &self.before),
            By::Root(_) => self.signers_of_root(role, next),
            By::Targets => {
                let files = self.contents.files.values();
                let each = files.map(|file| signers(file, role, next));
                each.reduce(|all, one| all.intersection(&one).cloned().collect())
                    .unwrap_or_default()
            }
        };
        let need = |(by, role): (By, &RoleKeys)| {
            let signed = signed(by, role);
            let left = role.keyids.iter().filter(|id| !signed.contains(id)).cloned().collect();
            Need { by, found: signed.len(), threshold: role.threshold, left }
        };
        self.asked().into_iter().map(need).collect()
    }

    fn signers_of_root(&self, role: &RoleKeys, root: &Root) -> BTreeSet<KeyId> {
        let file = self.contents.root.as_ref();
        file.map(|file| signers(file, role, root)).unwrap_or_default()
    }

    /// Fails if signatures are missing.
    pub fn must_be_complete(&self) -> Result<(), Trouble> {
        let missing: Vec<Need> =
            self.needs().into_iter().filter(|need| need.missing() > 0).collect();
        if missing.is_empty() { Ok(()) } else { Err(Trouble::TooFew(missing)) }
    }

    /// Adds the signatures of a copy that somebody else has signed.
    pub fn merge(&mut self, copy: &Self) -> Result<(), Trouble> {
        let ours = &mut self.contents;
        let theirs = &copy.contents;
        let same = |a: &Envelope, b: &Envelope| a.signed == b.signed;
        let fits = same(&ours.root_before, &theirs.root_before)
            && ours.files.keys().eq(theirs.files.keys())
            && ours.files.values().zip(theirs.files.values()).all(|(a, b)| same(a, b))
            && ours.root.as_ref().map(|root| &root.signed)
                == theirs.root.as_ref().map(|root| &root.signed)
            && ours.documents == theirs.documents;
        if !fits {
            return Err(Trouble::OtherCopy);
        }
        let files = ours.files.values_mut().chain(&mut ours.root);
        for (file, other) in files.zip(theirs.files.values().chain(&theirs.root)) {
            file.signatures.extend(other.signatures.iter().cloned());
        }
        Ok(())
    }

    /// Returns the next root as it was signed.
    pub fn taken_root(&self) -> Option<SignedFile> {
        let (file, next) = (self.contents.root.as_ref()?, self.next.as_ref()?);
        Some(SignedFile::taken_root(file, next, &self.before))
    }

    /// Returns the files of the targets' roles as they were signed.
    pub fn taken_files(&self) -> Vec<SignedFile> {
        let root = self.next_root();
        let pairs = self.files.iter().filter_map(|(role, content)| {
            Some((*role, self.contents.files.get(&role.to_string())?, content))
        });
        pairs.map(|(role, file, content)| SignedFile::taken(role, file, content, root)).collect()
    }
}

fn signers(file: &Envelope, role: &RoleKeys, root: &Root) -> BTreeSet<KeyId> {
    file.signatures_by(role, &root.keys).into_keys().cloned().collect()
}

fn envelopes(files: BTreeMap<RoleName, &[u8]>) -> Result<BTreeMap<String, Envelope>, Trouble> {
    let read = |(role, bytes): (RoleName, &[u8])| Ok((role.to_string(), Envelope::read(bytes)?));
    files.into_iter().map(read).collect()
}

/// Reads files of the targets' roles. A bin has its own paths alone.
fn targets(files: &BTreeMap<String, Envelope>) -> Result<BTreeMap<RoleName, Targets>, Trouble> {
    let mut read = BTreeMap::new();
    for (name, envelope) in files {
        let content: Targets = envelope.content()?;
        let role = name.parse().map_err(|_| Trouble::changed(&format!("{name} is no role")))?;
        let fits = match role {
            RoleName::Targets => true,
            RoleName::Bin(_) => content.targets.keys().all(|path| RoleName::bin_of(path) == role),
            RoleName::Root | RoleName::Snapshot | RoleName::Timestamp => false,
        };
        if !fits {
            return Err(Trouble::changed(&format!("the file {role} has what is not its own")));
        }
        read.insert(role, content);
    }
    Ok(read)
}

fn must_follow(next: &Root, before: &Root) -> Result<(), Trouble> {
    if next.header.version != before.header.version + 1 {
        return Err(Trouble::changed("the roots do not follow each other"));
    }
    // Whoever signs compares names of keys, which some clients do not.
    if next.keys.iter().any(|(id, key)| key.id() != *id) {
        return Err(Trouble::changed("a key has the name of another one"));
    }
    let roles = &next.roles;
    for role in [&roles.root, &roles.targets, &roles.snapshot, &roles.timestamp] {
        let known = role.keyids.iter().all(|id| next.keys.contains_key(id));
        let enough = usize::try_from(role.threshold).is_ok_and(|n| n <= role.keyids.len());
        if !known || !enough || role.threshold == 0 {
            return Err(Trouble::changed("the next root has roles without keys"));
        }
    }
    Ok(())
}
