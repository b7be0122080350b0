//! The targets: what the server offers to some client over HTTP, and each folder's documents.
//!
//! Files that are in the tree for their grace alone are none, and neither are revoked and quarantined ones, which leave
//! with the next signing.

use serde_json::json;

use crate::catalog::snapshot::{Snapshot, TreeEntry, TreeFile, WrittenDocument};
use crate::model::Channel;
use crate::trust::generation::Bins;
use crate::trust::{RoleName, Target};

/// Returns the targets of each bin, by their paths below the tree's root.
pub fn targets(snapshot: &Snapshot) -> Bins {
    let mut bins = Bins::new();
    let mut add = |path: String, target: Target| {
        bins.entry(RoleName::bin_of(&path)).or_default().insert(path, target);
    };
    for entry in snapshot.tree_entries() {
        match entry {
            TreeEntry::File(file) => {
                if let Some((path, target)) = of_file(file) {
                    add(path, target);
                }
            }
            TreeEntry::Document(offer, written) => {
                add(
                    written.document.path_in(&offer.channel.folder),
                    document(&offer.channel, written),
                );
            }
            TreeEntry::Revoked(_) => {}
        }
    }
    bins
}

fn of_file(file: &TreeFile) -> Option<(String, Target)> {
    let offered = file.offered.as_ref()?;
    let custom = json!({
        "image": file.image.as_str(),
        "revision": offered.revision,
        "role": offered.role.as_str(),
        "channel": offered.channel.as_str(),
    });
    Some((offered.path.clone(), Target::new(file.size, file.digest, custom)))
}

fn document(channel: &Channel, written: &WrittenDocument) -> Target {
    let custom = json!({"channel": channel.name.as_str()});
    Target::new(written.content.len() as u64, written.digest, custom)
}
