//! The offer of every channel, in memory: one immutable picture of the catalog at one moment.
//!
//! Update checks, the tree's HTTP names and log-ins are answered from it without the database, and continue while that
//! is unreachable. Every change replaces it before the change is acknowledged; changes by other processes reach it
//! within a second ([`Catalog::follow`](super::Catalog::follow)).

mod certificates;
mod documents;
mod follow;
mod held;
mod load;
mod picture;
mod transfers;

pub use certificates::CertificateMappings;
pub use picture::{
    ChannelOffer, ImageOffer, Offer, OfferedPath, OfferedPlace, OfferedRevision, OfferedTransfer,
    PreviousOffer, RevokedName, Snapshot, Standing, TreeEntry, TreeFile, WrittenDocument,
};
pub(in crate::catalog) use transfers::Transfers;
