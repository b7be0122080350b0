//! `imagedepot`: the repository from which an organisation's machines get their
//! virtual-machine images.

pub mod api;
pub mod catalog;
pub mod client;
pub mod model;
pub mod storage;
pub mod wire;
