//! Chunk lists (`….chunks`): a file as a sequence of content-defined chunks and runs of zeros.
//!
//! Who has some of the chunks already, in an older file, fetches only the others as ranges of the published file
//! ([`super::plan()`]). [`make()`] writes a list while it reads the file once, [`ChunkList::read`] reads one from an
//! untrusted place. The bytes of a list are described at [`super`].

mod chunker;
mod list;
mod make;
mod read;

pub use self::list::{Chunk, ChunkList, Content};
pub use self::make::{Summary, WholeDigest, list_of, make};

/// The first bytes of a list.
const MAGIC: [u8; 8] = *b"IMGCHNK1";
/// Magic bytes and size of the file.
const HEADER: usize = 16;
/// SHA-256 of the file, and the check of everything before it.
const TRAILER: usize = 32 + super::check::Check::LENGTH;

/// Bounds of a chunk. A chunk is shorter only before zeros and at the end of the file.
const SHORTEST: usize = 16 << 10;
const AVERAGE: usize = 64 << 10;
const LONGEST: usize = 256 << 10;
/// Zeros from this length on are a run of their own. They begin at a multiple of 4 KiB.
const SHORTEST_ZEROS: usize = 32 << 10;
