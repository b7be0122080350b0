//! What keeps a depot whole, and what carries it elsewhere. Above the catalog, which knows nothing of it.
//!
//! Whole: [`sweep`] (what is left behind), [`retention`] (older revisions), [`garbage`] (bytes that nothing refers to),
//! [`scrub`] (every byte read again, with quarantine and rescue), [`backup`] (with restore), and [`gauges`], [`watch`]
//! and [`status`], which tell of it. Of several servers one does such work ([`job`](crate::catalog::job)).
//!
//! Elsewhere: [`rebuild`] (a lost catalog, from the tree alone), [`export`] and [`take_over`] (revisions, both by
//! [`transfer`]), [`relocate`] (all of it).

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
