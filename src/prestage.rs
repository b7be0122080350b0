//! The pre-staging kit: the files that an administrator puts on client computers before their first start.
//!
//! MED-V takes its first image from two folders with fixed names, instead of the network. A kit is one revision's files
//! in these folders, together with what sets them up at a client computer: scripts, registry values, digests and
//! instructions. This module only makes texts from values and reads or writes no files. The server sends a kit as an
//! archive (`api::prestage`), and the command line lays one out on a disk (`client::prestage`). Both get the contents
//! from here, so the two kits are alike.
//!
//! Reading order: [`Kit`], then its contents (`contents`): [`location`] (where it is installed), [`rights`] (who may do
//! what there), `script` (what the user runs), `registry`, [`sums`] (what is checked).

mod contents;
mod folders;
mod kit;
pub mod location;
mod registry;
pub mod rights;
mod script;
pub mod sums;
mod template;
#[cfg(test)]
mod tests;
mod unfit;

pub use self::contents::{Content, READ_ME};
pub use self::folders::{IMAGES, PRESTAGED};
pub use self::kit::{Kit, KitFile};
pub use self::unfit::Unfit;
