//! The envelope of metadata: the signed part and its signatures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical::canonical;
use super::key::{KeyId, KeyPair, PublicKey};
use super::metadata::{Metadata, RoleKeys};

/// Metadata whose signatures are not verified yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    pub signatures: Vec<Signature>,
    pub signed: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub keyid: KeyId,
    pub sig: String,
}

impl Envelope {
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Counts the keys of a role that have signed.
    pub fn signers(&self, role: &RoleKeys, keys: &BTreeMap<KeyId, PublicKey>) -> usize {
        self.signatures_by(role, keys).len()
    }

    /// Returns the right signatures by keys of a role, one for each key.
    pub fn signatures_by(
        &self,
        role: &RoleKeys,
        keys: &BTreeMap<KeyId, PublicKey>,
    ) -> BTreeMap<&KeyId, &Signature> {
        let message = canonical(&self.signed);
        let mut right = BTreeMap::new();
        for signature in &self.signatures {
            let Signature { keyid, sig } = signature;
            let Some(key) = keys.get(keyid).filter(|_| role.keyids.contains(keyid)) else {
                continue;
            };
            // The name is the key's own: under two names one key would count twice.
            if key.id() == *keyid && key.verifies(&message, sig) {
                right.insert(keyid, signature);
            }
        }
        right
    }

    /// Adds the signature of a key, in place of an earlier one of the same key.
    pub fn add_signature(&mut self, key: &KeyPair) {
        self.signatures.retain(|signature| signature.keyid != *key.id());
        let sig = key.sign(&canonical(&self.signed));
        self.signatures.push(Signature { keyid: key.id().clone(), sig });
    }

    /// Returns the metadata file with these signatures alone. It is compact.
    pub fn bytes_with(&self, signatures: BTreeMap<&KeyId, &Signature>) -> Vec<u8> {
        let signatures: Vec<&Signature> = signatures.into_values().collect();
        assembled(&signatures, canonical(&self.signed))
    }

    /// Reports whether as many keys of a role have signed as it asks for.
    pub fn is_signed_by(&self, role: &RoleKeys, keys: &BTreeMap<KeyId, PublicKey>) -> bool {
        let needed = usize::try_from(role.threshold).unwrap_or(usize::MAX);
        needed > 0 && self.signers(role, keys) >= needed
    }

    /// Reads the signed part as metadata of a kind.
    pub fn content<M: Metadata>(&self) -> Result<M, serde_json::Error> {
        let content: M = M::deserialize(&self.signed)?;
        let header = content.header();
        if header.kind != M::TYPE || !header.spec_version.starts_with("1.") || header.version < 1 {
            let what = format!("this is no {} metadata of TUF 1", M::TYPE);
            return Err(serde::de::Error::custom(what));
        }
        Ok(content)
    }
}

/// Returns a metadata file, signed with all these keys. It is compact.
pub fn sign<'a, M: Metadata>(content: &M, keys: impl IntoIterator<Item = &'a KeyPair>) -> Vec<u8> {
    let message = canonical(content);
    let sign = |key: &KeyPair| Signature { keyid: key.id().clone(), sig: key.sign(&message) };
    let signatures: Vec<Signature> = keys.into_iter().map(sign).collect();
    assembled(&signatures, message)
}

fn assembled(signatures: &impl Serialize, message: Vec<u8>) -> Vec<u8> {
    let mut bytes = br#"{"signatures":"#.to_vec();
    bytes.extend(canonical(signatures));
    // The canonical form of these types is JSON as it stands: their texts have no control characters.
    bytes.extend(br#","signed":"#);
    bytes.extend(message);
    bytes.push(b'}');
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::metadata::{Header, Meta, Timestamp};
    use super::super::moment::Moment;
    use super::*;

    fn timestamp() -> Timestamp {
        Timestamp {
            header: Header::of::<Timestamp>(3, Moment::from_seconds(1_767_607_200)),
            meta: [("snapshot.json".to_owned(), Meta::version(7))].into(),
        }
    }

    fn role(keys: &[&KeyPair], threshold: u32) -> (RoleKeys, BTreeMap<KeyId, PublicKey>) {
        let keyids = keys.iter().map(|key| key.id().clone()).collect();
        let keys = keys.iter().map(|key| (key.id().clone(), key.public().clone())).collect();
        (RoleKeys { keyids, threshold }, keys)
    }

    #[test]
    fn what_is_signed_is_read_back_and_verified() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let bytes = sign(&timestamp(), [&key]);
        assert!(!bytes.contains(&b' '), "it is compact");
        let envelope = Envelope::read(&bytes).unwrap();
        assert_eq!(envelope.content::<Timestamp>().unwrap(), timestamp());
        let (one, keys) = role(&[&key], 1);
        assert!(envelope.is_signed_by(&one, &keys));
        let (two, keys) = role(&[&key, &other], 2);
        assert!(!envelope.is_signed_by(&two, &keys), "one of two");
        let (stranger, keys) = role(&[&other], 1);
        assert!(!envelope.is_signed_by(&stranger, &keys));
    }

    #[test]
    fn a_signature_counts_once_and_only_for_these_bytes() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut envelope = Envelope::read(&sign(&timestamp(), [&key, &key])).unwrap();
        let (two, keys) = role(&[&key, &other], 2);
        assert_eq!(envelope.signers(&two, &keys), 1);
        envelope.signatures.insert(0, Signature { keyid: key.id().clone(), sig: "00".to_owned() });
        let bytes = envelope.bytes_with(envelope.signatures_by(&two, &keys));
        assert_eq!(Envelope::read(&bytes).unwrap().signatures.len(), 1, "the right one alone");
        envelope.signed["version"] = 4.into();
        assert_eq!(envelope.signers(&two, &keys), 0);
    }

    #[test]
    fn metadata_of_another_kind_is_not_read() {
        let mut envelope = Envelope::read(&sign(&timestamp(), [])).unwrap();
        assert!(envelope.content::<super::super::metadata::Snapshot>().is_err());
        envelope.signed["spec_version"] = "2.0.0".into();
        assert!(envelope.content::<Timestamp>().is_err());
    }
}
