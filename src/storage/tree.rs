//! The physical tree: a folder or a bucket that others may serve as it stands.
//!
//! Says what is there and makes single files appear and go, each step complete or not at all. What
//! should be there, and in which order, is the catalog's to decide.
//!
//! A tree lies where its blobs do: in a folder of the same machine it is made of hard links, in a bucket of the
//! same service of copies that the service makes by itself, so that publishing moves no bytes through here.
//!
//! `entry` is what stands in a tree, `folder` and `bucket` are the two kinds of tree, `backend` is one type for both.

mod backend;
mod bucket;
mod entry;
mod folder;

pub use self::backend::Tree;
pub use self::bucket::TreeBucket;
pub use self::entry::{Entries, Entry, Original};
pub use self::folder::TreeFolder;
