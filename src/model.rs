//! The vocabulary of the domain (names, states, digests, records) as types that cannot hold an invalid value.
//!
//! The lowest layer: all other modules use these types. The types define how they are written in a row and in JSON,
//! which is the same text in both, and know nothing of queries or HTTP.
//!
//! Digests and names are part of both builds. If the client needs another module, remove the `cfg` line of that module
//! here and put its code for rows and documents behind `cfg` and `cfg_attr`, as in `name`.

#[cfg(feature = "server")]
pub mod account;
#[cfg(feature = "server")]
pub mod address_range;
pub mod audit_hash;
#[cfg(feature = "server")]
pub mod backup;
#[cfg(feature = "server")]
pub mod bits_session;
#[cfg(feature = "server")]
pub mod certificate;
#[cfg(feature = "server")]
pub mod certificate_mapping;
#[cfg(feature = "server")]
pub mod channel;
pub mod client_pattern;
#[cfg(feature = "server")]
pub mod client_record;
#[cfg(feature = "server")]
pub mod clock;
pub mod digest;
#[cfg(feature = "server")]
pub mod event;
#[cfg(feature = "server")]
pub mod file_role;
#[cfg(feature = "server")]
pub mod folder_document;
#[cfg(feature = "server")]
pub mod image;
#[cfg(feature = "server")]
pub mod job;
pub mod local_folder;
#[cfg(feature = "server")]
pub mod metric;
#[cfg(feature = "server")]
pub mod mirror;
pub mod name;
#[cfg(feature = "server")]
pub mod networks;
#[cfg(feature = "server")]
pub mod part;
pub mod pattern;
pub mod pem;
#[cfg(feature = "server")]
pub mod pending_promotion;
#[cfg(feature = "server")]
pub mod pin;
pub mod program;
#[cfg(feature = "server")]
pub mod promotion;
#[cfg(feature = "server")]
pub mod publication;
pub mod refusal;
#[cfg(feature = "server")]
pub mod replica;
#[cfg(feature = "server")]
pub mod report;
#[cfg(feature = "server")]
pub mod revision;
pub mod rollout;
#[cfg(feature = "server")]
pub(crate) mod row;
#[cfg(feature = "server")]
pub mod scrub;
#[cfg(feature = "server")]
mod tag;
pub mod text_file;
#[cfg(feature = "server")]
pub mod token;
#[cfg(feature = "server")]
pub mod transfer_file;
#[cfg(feature = "server")]
pub mod upload;
#[cfg(feature = "server")]
pub mod webhook;

pub use client_pattern::ClientPattern;
pub use digest::Digest;
pub use name::{
    AccountName, ChannelName, ClientGroup, ClientId, ImageName, InvalidName, MappingName,
    MirrorName, TokenName, WebhookName,
};
pub use rollout::Rollout;

#[cfg(feature = "server")]
pub use self::{
    account::{Account, Role},
    backup::Backup,
    bits_session::{BitsSession, BitsSessionState, NamePattern},
    certificate::Certificate,
    certificate_mapping::CertificateMapping,
    channel::{Channel, ReadAccess},
    client_record::{ClientCheck, ClientFilter, ClientRecord, IdPattern, RecordPlace},
    clock::{Clock, Ids},
    event::{Event, EventType, EventTypes},
    file_role::FileRole,
    folder_document::FolderDocument,
    image::{Image, ImageKind, Labels, OfferedImage},
    job::{Job, JobState},
    mirror::{Mirror, MirrorKind},
    part::{Part, PartState, Trouble},
    pin::Pin,
    promotion::{Assignment, ClientTerms, Departure, Halted, Promotion, PromotionKind, Terms},
    publication::{FilePattern, Publication, PublicationState},
    report::ReportStatus,
    revision::{Blob, BlobState, File, Revision, RevisionState},
    scrub::{Coverage, DamagedFile, StoredBlob},
    token::{ApiToken, SigningKey, TokenFilter},
    transfer_file::{TransferFile, TransferKind, TransferState},
    upload::{Upload, UploadProtocol, UploadState},
    webhook::{Delivery, DeliveryState, Webhook},
};
