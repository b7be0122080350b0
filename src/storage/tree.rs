//! The physical tree: a folder or a bucket that other servers may serve as it is.
//!
//! This module lists what is in the tree and makes single files appear and disappear, each step complete or not at all.
//! The catalog decides what should be in it, and in which order.
//!
//! A tree is stored where its blobs are. In a folder of the same machine it consists of hard links. In a bucket of the
//! same service it consists of copies that the service makes by itself, so that publishing moves no bytes through this
//! server.
//!
//! `entry` is an entry of a tree, `folder` and `bucket` are the two kinds of tree, and `backend` is one type for both.

mod backend;
mod bucket;
mod entry;
mod folder;

pub use self::backend::Tree;
pub use self::bucket::TreeBucket;
pub use self::entry::{Entries, Entry, Original};
pub use self::folder::TreeFolder;
