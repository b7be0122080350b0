//! The roles of the metadata, and the names of their files.

use std::fmt;
use std::str::FromStr;

use crate::model::Digest;

/// The number of bins. It never changes: clients refuse a snapshot that lacks a role that they have seen.
///
/// With 24,000 targets a bin has 31 KB, and the list of the bins 41 KB. python-tuf and our client fetch one bin a target.
pub const BINS: usize = 256;

/// The place in the tree where the metadata is.
pub const FOLDER: &str = "tuf";

/// A role, each with its own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// Names the keys of all other roles.
    Root,
    /// Delegates every target to a bin.
    Targets,
    /// The targets whose paths' SHA-256 begins with this byte.
    Bin(u8),
    /// The versions of the targets' roles that belong together.
    Snapshot,
    /// The newest snapshot.
    Timestamp,
}

/// A file in the folder of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// A file that never changes, such as `7.snapshot.json`.
    Versioned(RoleName, i64),
    /// `timestamp.json`, which is replaced with every version.
    Timestamp,
}

impl RoleName {
    /// Returns the bin of a target.
    pub fn bin_of(path: &str) -> Self {
        Self::Bin(Digest::of(path.as_bytes()).as_bytes()[0])
    }

    /// Returns all bins.
    pub fn bins() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self::Bin)
    }

    /// Returns the name of the role in the snapshot: its file's name without the version.
    pub fn in_snapshot(self) -> String {
        format!("{self}.json")
    }

    /// Returns the name of the file of a version.
    pub const fn file(self, version: i64) -> FileName {
        match self {
            Self::Timestamp => FileName::Timestamp,
            _ => FileName::Versioned(self, version),
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Targets => f.write_str("targets"),
            Self::Bin(number) => write!(f, "bin-{number:02x}"),
            Self::Snapshot => f.write_str("snapshot"),
            Self::Timestamp => f.write_str("timestamp"),
        }
    }
}

/// The error for a text that names no role or no file of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this names no metadata")]
pub struct UnknownName;

impl FromStr for RoleName {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Ok(match text {
            "root" => Self::Root,
            "targets" => Self::Targets,
            "snapshot" => Self::Snapshot,
            "timestamp" => Self::Timestamp,
            _ => {
                let number = text.strip_prefix("bin-").ok_or(UnknownName)?;
                let bin = u8::from_str_radix(number, 16).map(Self::Bin).map_err(|_| UnknownName)?;
                // One file has one name: neither capitals nor a sign.
                if bin.to_string() == text { bin } else { return Err(UnknownName) }
            }
        })
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Versioned(role, version) => write!(f, "{version}.{role}.json"),
            Self::Timestamp => f.write_str("timestamp.json"),
        }
    }
}

impl FromStr for FileName {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        if text == "timestamp.json" {
            return Ok(Self::Timestamp);
        }
        let (version, role) = text.split_once('.').ok_or(UnknownName)?;
        let role: RoleName = role.strip_suffix(".json").ok_or(UnknownName)?.parse()?;
        let version: i64 = version.parse().map_err(|_| UnknownName)?;
        let file = Self::Versioned(role, version);
        let fits = version > 0 && role != RoleName::Timestamp && file.to_string() == text;
        if fits { Ok(file) } else { Err(UnknownName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_by_the_names_that_they_are_written_under() {
        for name in ["1.root.json", "12.bin-0a.json", "3.snapshot.json", "timestamp.json"] {
            assert_eq!(name.parse::<FileName>().unwrap().to_string(), name);
        }
        let others = [
            "root.json",
            "1.timestamp.json",
            "0.root.json",
            "01.root.json",
            "+1.root.json",
            "1.bin-0A.json",
            "1.bin-100.json",
            "1.bin-+1.json",
            "1.root",
            "../1.root.json",
            "",
        ];
        for name in others {
            assert_eq!(name.parse::<FileName>(), Err(UnknownName), "{name}");
        }
    }

    #[test]
    fn a_target_has_one_bin() {
        let RoleName::Bin(bin) = RoleName::bin_of("abc") else { unreachable!("a bin") };
        assert_eq!(bin, 0xba);
        assert_eq!(RoleName::bins().count(), BINS);
    }
}
