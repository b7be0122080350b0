//! The reasons why the catalog refuses. It knows no HTTP: `api::conventions::problem::code` has the only table of
//! statuses.

use crate::model::refusal::Refusal;
use crate::model::{ChannelName, Digest, FileRole, InvalidName, MappingName, RevisionState};
use crate::storage::StorageError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal or a failure. Where it is not obvious, the message of a variant says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no image of this name")]
    ImageNotFound,
    #[error("the image has no revision {0}")]
    RevisionNotFound(i64),
    #[error("revision {0} was deleted; its number is not used again")]
    RevisionDeleted(i64),
    #[error("the revision has no file in the role {0} yet")]
    FileNotFound(FileRole),
    #[error("there is no channel of this name")]
    ChannelNotFound,
    #[error("there is no client of this id on record")]
    ClientNotFound,
    #[error("there is no mirror of this name on record")]
    MirrorNotFound,
    #[error("there is no user of this name")]
    AccountNotFound,
    #[error("there is no webhook of this id")]
    WebhookNotFound,
    #[error(
        "the webhook has no delivery of this id; those that have ended are kept for events.keep"
    )]
    DeliveryNotFound,
    #[error("the depot has {0} webhooks, which is the limit; delete one first")]
    TooManyWebhooks(i64),
    #[error("there is no token of this id")]
    TokenNotFound,
    #[error("the token was revoked")]
    TokenRevoked,
    #[error("there is no certificate mapping of this name")]
    CertificateMappingNotFound,
    #[error(
        "the channel offers no revision of the image: none was promoted yet, or it was withdrawn"
    )]
    NothingAssigned,

    #[error("no promotion to this channel waits for an approval of yours")]
    NothingPending,
    #[error("the client has no pin for the image in this channel")]
    PinNotFound,
    #[error(
        "a server of an earlier version ({program}) is still running on this catalog and could not read this change; \
         upgrade or stop it first (it counts for a minute after its last report)"
    )]
    OlderReplica { program: String },
    #[error("too many clients that are not on record have reported from this source")]
    TooManyReporters,

    #[error("the name {0} is taken")]
    NameTaken(String),
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: String },
    #[error("an image of kind {kind} has no file in the role {role}")]
    RoleUnknown { kind: &'static str, role: FileRole },

    #[error("revision {0} is sealed: its bytes never change; create a new revision")]
    RevisionSealed(i64),
    #[error("revision {number} is {}, but this operation needs one that is ready", state.as_str())]
    RevisionNotReady { number: i64, state: RevisionState },
    #[error("the revision cannot be sealed: missing files: {}", list(missing))]
    RevisionIncomplete { missing: Vec<FileRole> },
    #[error(
        "the file {0} is empty, so no machine could start from it: send it again, then seal the revision"
    )]
    EmptyFile(FileRole),
    #[error(
        "the upload was closed before any byte of the file arrived; nothing was kept: start it again"
    )]
    NothingCame,
    #[error(
        "revision {number} is assigned to channels: {}; promote another revision there first, or withdraw it",
        list(channels)
    )]
    RevisionAssigned { number: i64, channels: Vec<ChannelName> },
    #[error("revision {0} is protected; remove the protection first")]
    RevisionProtected(i64),
    #[error(
        "the channel has no earlier revision that is ready and was not rolled back or withdrawn"
    )]
    NothingToRollBackTo,
    #[error("revision {revision} has to be promoted to {channel} first")]
    ChannelRequired { revision: i64, channel: ChannelName },
    #[error(
        "{images} images are promoted to the channel; delete it with ?withdraw=true to take them out of the tree"
    )]
    ChannelInUse { images: i64 },
    #[error("the channel {by} requires this channel; change {by} first")]
    ChannelIsRequired { by: ChannelName },
    #[error("the last administrator cannot be deleted or disabled, and cannot lose the role")]
    LastAdministrator,
    #[error(
        "certificates are mapped to the user: {}; delete these mappings first, because the next mapping that matches \
         would take over their certificates",
        list(mappings)
    )]
    AccountMapped { mappings: Vec<MappingName> },
    #[error("the certificate already has the mapping {0}; delete it first")]
    CertificateMapped(MappingName),
    #[error(
        "the resource was changed in the meantime; read it again and repeat the request with the new ETag"
    )]
    Stale,
    #[error("the upload was discarded in the meantime; send the file again")]
    UploadLost,
    #[error(
        "there is no such upload: it was cancelled, it has expired, or its draft was sealed or deleted; begin a new one"
    )]
    UploadNotFound,
    #[error(
        "the upload has {expected} bytes, so the next bytes must begin there and not at {given}"
    )]
    OffsetMismatch { expected: u64, given: u64 },
    #[error("the upload is complete: its bytes are the draft's file")]
    UploadComplete,
    #[error("the upload is not complete: {received} of {size} bytes have arrived")]
    UploadIncomplete { received: u64, size: u64 },
    #[error("these bytes would end at offset {end}, but the file has {size} bytes")]
    BeyondEnd { size: u64, end: u64 },
    #[error(
        "the length of the file was stated as {known} bytes before, and is now stated as {given} bytes"
    )]
    OtherLength { known: u64, given: u64 },
    #[error(
        "the bytes do not have the checksum that came with them; none of them were kept: send them again"
    )]
    ChecksumMismatch,
    #[error(
        "a newer request has taken over the upload, or it has ended; ask for the offset and continue there"
    )]
    UploadTakenOver,
    #[error("an older request is still writing to the upload; try again")]
    UploadBusy,
    #[error("you have {open} open uploads, and the limit is {limit}; finish or delete some")]
    TooManyUploads { open: i64, limit: i64 },
    #[error(
        "the image has {used} bytes, and {size} more would exceed the limit uploads.image_quota of {limit}"
    )]
    QuotaExceeded { used: u64, size: u64, limit: u64 },
    #[error(
        "your uploads have reserved {reserved} bytes, and {size} more would exceed the {limit} bytes of free disk \
         space that one caller may have (uploads.caller_share): finish or cancel some first"
    )]
    CallerShareExceeded { reserved: u64, size: u64, limit: u64 },
    #[error("{0}")]
    Forbidden(&'static str),
    #[error(
        "{0}; nothing was removed. `imagedepot scrub` lists the damaged files; if the catalog was restored from a \
         backup, see docs/operations.md"
    )]
    ReferencesIncomplete(String),
    #[error("another server is doing the same work and has not finished; try again")]
    JobTaken,

    #[error(
        "revision {revision} is sealed and this file is damaged: only bytes with the digest {digest} can heal it"
    )]
    OtherBytes { revision: i64, digest: Digest },
    #[error("the bytes have the digest {actual}, but the request named {expected}")]
    DigestMismatch { expected: String, actual: String },
    #[error("only {received} of {announced} bytes arrived; nothing was kept: send the file again")]
    Truncated { announced: u64, received: u64 },
    #[error("the file has {size} bytes, but the limit uploads.max_size is {limit}")]
    TooLarge { size: u64, limit: u64 },
    #[error(
        "a file whose length is not stated in advance may have at most {limit} bytes; state its length"
    )]
    TooLargeUnannounced { limit: u64 },
    #[error("a chunk list of one of the two revisions is not made yet; ask again in a minute")]
    ChunksPending,
    #[error(
        "{needed} bytes do not fit on the disk: {available} are free and not reserved; recently deleted bytes stay \
         for store.safety_age, unless POST /api/v1/gc?immediately=true removes them"
    )]
    NoRoom { needed: u64, available: u64 },
    #[error(
        "the disk has {free} bytes left, and store.min_free keeps {floor} of them; the bytes that arrived were kept: \
         continue when there is more space"
    )]
    FloorReached { free: u64, floor: u64 },

    #[error(transparent)]
    Storage(StorageError),
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Error {
    pub fn invalid(field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Invalid { field, reason: reason.to_string() }
    }

    /// Reports whether the database is unreachable. Anything else would fail in the same way, after a wait of its own.
    pub(crate) fn is_database_unreachable(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Unavailable(_)))
    }

    /// Returns the error of a write with a unique name: a duplicate is `NameTaken`, other storage errors stay as they
    /// are.
    pub(crate) fn name_taken(name: &impl std::fmt::Display, error: StorageError) -> Self {
        match error {
            StorageError::Duplicate => Self::NameTaken(name.to_string()),
            other => Self::Storage(other),
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::invalid(refusal.field, refusal.rule)
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Self {
        Self::invalid("name", error)
    }
}
