//! Keeps a depot complete and intact, and moves it elsewhere. It is above the catalog, which knows nothing of it.
//!
//! Upkeep: [`sweep`] (leftovers), [`retention`] (older revisions), [`garbage`] (bytes that nothing refers to),
//! [`scrub`] (reads every byte again, with quarantine and rescue), [`backup`] (with restore), and [`gauges`], [`watch`]
//! and [`status`], which report on it. With several servers, one of them does such work ([`job`](crate::catalog::job)).
//!
//! Moving: [`rebuild`] (a lost catalog, from the tree alone), [`export`] and [`take_over`] (revisions, both through
//! [`transfer`]), [`relocate`] (everything).

pub mod backup;
pub mod export;
pub mod garbage;
pub mod gauges;
pub mod rebuild;
pub mod relocate;
pub mod retention;
pub mod scrub;
pub mod status;
pub mod sweep;
pub mod take_over;
pub mod transfer;
pub mod watch;
