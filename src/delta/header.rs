//! The header of a delta.

use super::LARGEST;
use super::check::Check;
use super::error::{Action, Error, Place};
use super::read_at::ReadAt;
use super::varint::Bytes;
use crate::model::Digest;

const MAGIC: [u8; 8] = *b"IMGDELT1";

/// The files that a delta leads from and to, and the place of its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub base: Whole,
    pub result: Whole,
    /// The offset of the index: the end of the payloads.
    pub index_offset: u64,
    pub index_length: u64,
    pub(super) index_check: Check,
}

/// A whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    pub size: u64,
    pub digest: Digest,
}

impl Header {
    pub const LENGTH: usize = 136;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LENGTH);
        bytes.extend_from_slice(&MAGIC);
        for file in [self.base, self.result] {
            bytes.extend_from_slice(&file.size.to_le_bytes());
            bytes.extend_from_slice(file.digest.as_bytes());
        }
        bytes.extend_from_slice(&self.index_offset.to_le_bytes());
        bytes.extend_from_slice(&self.index_length.to_le_bytes());
        bytes.extend_from_slice(self.index_check.as_bytes());
        let check = Check::of(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        bytes
    }

    /// Reads the header of a delta of this size.
    pub fn read(delta: &(impl ReadAt + ?Sized), size: u64) -> Result<Self, Error> {
        if size < Self::LENGTH as u64 {
            return Err(Error::damaged(Place::Delta, "it is too short"));
        }
        let mut bytes = [0; Self::LENGTH];
        delta.read_exact_at(&mut bytes, 0).map_err(Action::Read.on(Place::Delta))?;
        Self::parse(&bytes, size).map_err(|reason| Error::damaged(Place::Delta, reason))
    }

    fn parse(bytes: &[u8; Self::LENGTH], size: u64) -> Result<Self, &'static str> {
        let (content, check) = bytes.split_at(Self::LENGTH - Check::LENGTH);
        if !content.starts_with(&MAGIC) {
            return Err("it does not begin like one");
        }
        if Check::of(content).as_bytes() != check {
            return Err("the digest of its header is wrong");
        }
        let header = Self::fields(Bytes(&content[MAGIC.len()..])).ok_or("it is too short")?;
        if header.base.size > LARGEST || header.result.size > LARGEST {
            return Err("its files are too large");
        }
        let end = header.index_offset.checked_add(header.index_length);
        if header.index_offset < Self::LENGTH as u64 || end != Some(size) {
            return Err("it was cut off, or its index is not at its end");
        }
        Ok(header)
    }

    fn fields(mut bytes: Bytes<'_>) -> Option<Self> {
        Some(Self {
            base: Whole::take(&mut bytes)?,
            result: Whole::take(&mut bytes)?,
            index_offset: u64::from_le_bytes(bytes.array()?),
            index_length: u64::from_le_bytes(bytes.array()?),
            index_check: Check::from_bytes(bytes.array()?),
        })
    }
}

impl Whole {
    fn take(bytes: &mut Bytes<'_>) -> Option<Self> {
        let size = u64::from_le_bytes(bytes.array()?);
        Some(Self { size, digest: Digest::from_bytes(bytes.array()?) })
    }
}
