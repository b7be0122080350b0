//! Choices of one signing key for each authority's name.

use std::collections::BTreeMap;

use super::list::{RevocationList, Signer};

/// The most choices. Each is a verifier that a client certificate may have to pass.
const MOST: usize = 64;

/// Returns every choice of one key for each name, with the lists of these keys. Usually there is one choice, because
/// each authority has one key. Returns none if there would be more than 64.
pub(super) fn of_keys(lists: &[RevocationList]) -> Option<Vec<Vec<&RevocationList>>> {
    let mut names: BTreeMap<&[u8], BTreeMap<&Signer, Vec<&RevocationList>>> = BTreeMap::new();
    for list in lists {
        names.entry(&list.issuer).or_default().entry(&list.signer).or_default().push(list);
    }
    let mut choices = vec![Vec::new()];
    for keys in names.values() {
        if choices.len() * keys.len() > MOST {
            return None;
        }
        choices = choices
            .iter()
            .flat_map(|choice| keys.values().map(|lists| [&choice[..], lists].concat()))
            .collect();
    }
    Some(choices)
}
