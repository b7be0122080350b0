//! The transfer files that are there, by the file that they lead to.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::catalog::Result;
use crate::model::{FileRole, TransferFile};
use crate::storage::{OfferedFile, Scope, Tx};

/// The transfer files of all images, or of one.
pub(in crate::catalog) struct Transfers {
    by_file: HashMap<(Uuid, FileRole), Vec<TransferFile>>,
    /// The channels and the revisions that were assigned there, of the bases of deltas.
    assigned: HashSet<(Uuid, Uuid)>,
}

impl Transfers {
    pub(in crate::catalog) async fn read(tx: &mut Tx, scope: Scope) -> Result<Self> {
        let mut by_file: HashMap<_, Vec<_>> = HashMap::new();
        for transfer in tx.transfer_files_to_show(scope).await? {
            by_file.entry((transfer.revision_id, transfer.role)).or_default().push(transfer);
        }
        let assigned = tx.places_of_bases(scope).await?.into_iter().collect();
        Ok(Self { by_file, assigned })
    }

    /// Returns those beside an offered file. A delta has bytes of its base, so that a channel shows it only if the base
    /// was assigned there once: other readers may not be allowed to read that.
    pub(in crate::catalog) fn beside(
        &self,
        file: &OfferedFile,
    ) -> impl Iterator<Item = &TransferFile> {
        let all = self.by_file.get(&(file.revision_id, file.role)).into_iter().flatten();
        all.filter(|transfer| {
            transfer.base_id.is_none_or(|base| self.assigned.contains(&(file.channel_id, base)))
        })
    }
}
