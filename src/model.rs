//! The words of the trade (names, states, digests, records) as types that cannot hold a wrong value.
//!
//! The lowest room: every other one speaks in these types. They know how they are written in a row
//! and in JSON, because both are text with the same words, and nothing of queries or HTTP.

pub mod account;
pub mod bits_session;
pub mod certificate;
pub mod certificate_mapping;
pub mod channel;
pub mod clock;
pub mod digest;
pub mod file_role;
pub mod folder_document;
pub mod image;
pub mod job;
pub mod metric;
pub mod name;
pub mod pattern;
pub mod promotion;
pub mod publication;
pub mod revision;
pub mod scrub;
mod tag;
pub mod token;
pub mod upload;

pub use account::{Account, Role};
pub use bits_session::{BitsSession, BitsSessionState, NamePattern};
pub use certificate::Certificate;
pub use certificate_mapping::CertificateMapping;
pub use channel::{Channel, ReadAccess};
pub use clock::{Clock, Ids};
pub use digest::Digest;
pub use file_role::FileRole;
pub use folder_document::FolderDocument;
pub use image::{Image, ImageKind, Labels, OfferedImage};
pub use job::{Job, JobState};
pub use name::{
    AccountName, ChannelName, ClientId, ImageName, InvalidName, MappingName, TokenName,
};
pub use promotion::{Assignment, ClientTerms, Promotion, PromotionKind, Rollout, Terms};
pub use publication::{FilePattern, Publication, PublicationState};
pub use revision::{Blob, BlobState, File, Revision, RevisionState};
pub use scrub::{Coverage, DamagedFile, StoredBlob};
pub use token::{ApiToken, SigningKey, TokenFilter};
pub use upload::{Upload, UploadProtocol, UploadState};
