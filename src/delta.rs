//! Chunk lists and deltas: the files by which a client that has an older revision fetches only what is new.
//!
//! Both are static files that any server, bucket or cache can serve. This room makes, reads and applies them; it knows
//! files, not HTTP. It leaves to others when they are made and published, how they are fetched, and the final word: a
//! result is used only if its SHA-256 is that of the catalog.
//!
//! Reading order: [`chunks`] and [`plan()`] (the chunks that a client lacks), then [`make()`] with `choice` (one piece),
//! which uses `gather` (the parts of the base that look alike), `difference` and `recipe`; then `entries` (the index of a
//! delta) and [`apply()`].
//!
#![doc = include_str!("../docs/deltas.md")]

mod anchors;
mod apply;
mod base_index;
mod check;
mod choice;
pub mod chunks;
mod difference;
mod entries;
mod error;
mod frame;
mod gather;
mod header;
mod make;
mod matches;
mod pace;
mod piece;
mod plan;
mod ranges;
mod read_at;
mod recipe;
#[cfg(test)]
mod tests;
mod varint;
mod zeros;

pub use self::apply::{Applied, apply};
pub use self::check::Check;
pub use self::entries::{Delta, Part, Parts};
pub use self::error::{Action, Error, Place};
pub use self::header::{Header, Whole};
pub use self::make::{Input, Made, Pieces, make};
pub use self::pace::{Next, Pace, Phase, Progress, Unpaced};
pub use self::piece::Method;
pub use self::plan::{Plan, Seeds, Source, Step, is_worth_ranges, plan};
pub use self::ranges::{Range, Ranges};
pub use self::read_at::ReadAt;

/// The unit in which a result is made. Larger pieces are worse in size, time and memory.
pub const PIECE: usize = 1 << 20;
/// The largest file that this room takes, in bytes.
pub const LARGEST: u64 = 4 << 40;
/// Gaps between two ranges that a client lacks are fetched as well if they are shorter: a request costs more.
pub const SHORTEST_GAP: u64 = 32 << 10;
/// The largest payload of a piece.
const LONGEST_PAYLOAD: u32 = 2 << 20;
/// The largest recipe.
const LONGEST_RECIPE: usize = 2 << 20;
