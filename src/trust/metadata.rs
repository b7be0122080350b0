//! The contents of the metadata files, as types. Fields that this program does not know are ignored in reading; the
//! signatures were verified over the text that has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::{KeyId, PublicKey};
use super::moment::Moment;
use super::role::RoleName;
use crate::model::Digest;

/// The version of the specification that is followed.
pub const SPECIFICATION: &str = "1.0.34";

/// A kind of metadata, as its `_type` names it.
pub trait Metadata: Serialize + for<'de> Deserialize<'de> {
    const TYPE: &'static str;
    fn header(&self) -> &Header;
}

/// The fields that all metadata has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    #[serde(rename = "_type")]
    pub kind: String,
    pub spec_version: String,
    pub version: i64,
    pub expires: Moment,
}

impl Header {
    pub fn of<M: Metadata>(version: i64, expires: Moment) -> Self {
        Self { kind: M::TYPE.to_owned(), spec_version: SPECIFICATION.to_owned(), version, expires }
    }
}

macro_rules! metadata {
    ($($type:ident $name:literal),+) => {
        $(impl Metadata for $type {
            const TYPE: &'static str = $name;
            fn header(&self) -> &Header {
                &self.header
            }
        })+
    };
}

metadata!(Root "root", Targets "targets", Snapshot "snapshot", Timestamp "timestamp");

/// The keys that may sign for a role, and how many of them have to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    pub keyids: Vec<KeyId>,
    pub threshold: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    #[serde(flatten)]
    pub header: Header,
    pub consistent_snapshot: bool,
    pub keys: BTreeMap<KeyId, PublicKey>,
    pub roles: RootRoles,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRoles {
    pub root: RoleKeys,
    pub targets: RoleKeys,
    pub snapshot: RoleKeys,
    pub timestamp: RoleKeys,
}

impl Root {
    /// Returns the keys that sign a role's files. The bins are signed with the targets' keys.
    pub const fn keys_of(&self, role: RoleName) -> &RoleKeys {
        match role {
            RoleName::Root => &self.roles.root,
            RoleName::Targets | RoleName::Bin(_) => &self.roles.targets,
            RoleName::Snapshot => &self.roles.snapshot,
            RoleName::Timestamp => &self.roles.timestamp,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    #[serde(flatten)]
    pub header: Header,
    pub targets: BTreeMap<String, Target>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

/// A file of the tree: its length, its SHA-256, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub length: u64,
    pub hashes: Hashes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
}

/// The digests of a file in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    pub sha256: String,
}

impl Target {
    pub fn new(length: u64, digest: Digest, custom: Value) -> Self {
        Self { length, hashes: Hashes { sha256: digest.to_hex() }, custom: Some(custom) }
    }

    /// Returns the digest; none if it is not one.
    pub fn digest(&self) -> Option<Digest> {
        format!("sha256:{}", self.hashes.sha256).parse().ok()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegations {
    pub keys: BTreeMap<KeyId, PublicKey>,
    pub roles: Vec<DelegatedRole>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedRole {
    pub name: String,
    #[serde(flatten)]
    pub keys: RoleKeys,
    pub terminating: bool,
    /// The first hex digits of the SHA-256 of the paths that the role is trusted for.
    #[serde(default)]
    pub path_hash_prefixes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    #[serde(flatten)]
    pub header: Header,
    pub meta: BTreeMap<String, Meta>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    #[serde(flatten)]
    pub header: Header,
    pub meta: BTreeMap<String, Meta>,
}

/// A metadata file that another one names. A snapshot names the versions alone: hashes of all bins would make it seven
/// times as large, and a number is never signed twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Hashes>,
}

impl Meta {
    pub const fn version(version: i64) -> Self {
        Self { version, length: None, hashes: None }
    }

    /// Reports whether a file has the length and the digest that are named, where any are.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        self.length.is_none_or(|length| length == bytes.len() as u64)
            && self.hashes.as_ref().is_none_or(|hashes| hashes.sha256 == Digest::of(bytes).to_hex())
    }
}
