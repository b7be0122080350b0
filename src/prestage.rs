//! What an administrator puts on client computers ahead of their first start: the pre-staging kit.
//!
//! MED-V takes its first image from two folders whose names it fixes, instead of the network. A kit is one
//! revision's files in these folders, and what sets them up at a client computer: scripts, registry values,
//! digests and words. Everything here is text made from values; nothing is read or written. The server sends
//! a kit as an archive (`api::prestage`), the command line lays one out on a disk (`client::prestage`), and both
//! ask here what is in it, so that the two are alike.
//!
//! Reading order: [`Kit`], then what it holds (`contents`): [`location`] (where it is going to lie), [`rights`] (who
//! may do what there), `script` (what the person runs), `registry`, [`sums`] (what is checked).

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
