//! Files that were signed elsewhere, as those that were signed here.

use super::{SignedFile, meaning_of};
use crate::trust::envelope::Envelope;
use crate::trust::metadata::{Root, Targets};
use crate::trust::role::RoleName;

impl SignedFile {
    /// Takes the file of a targets' role, with the right signatures of the keys that a root names.
    pub fn taken(role: RoleName, file: &Envelope, content: &Targets, root: &Root) -> Self {
        let keys = root.keys_of(role);
        let meaning = match &content.delegations {
            Some(delegations) => meaning_of(delegations, keys),
            None => meaning_of(&content.targets, keys),
        };
        let bytes = file.bytes_with(file.signatures_by(keys, &root.keys));
        let (version, expires) = (content.header.version, content.header.expires);
        Self { role, version, expires, meaning, bytes }
    }

    /// Takes a root, with the right signatures of its own keys and of those of the root before.
    pub fn taken_root(file: &Envelope, content: &Root, before: &Root) -> Self {
        let mut signatures = file.signatures_by(&before.roles.root, &before.keys);
        signatures.extend(file.signatures_by(&content.roles.root, &content.keys));
        content.file(file.bytes_with(signatures))
    }
}
