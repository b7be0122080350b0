//! The reasons why the catalog refuses. It knows no HTTP: `api::conventions::problem::code` has the only table of
//! statuses.

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
    #[error("there is no user of this name")]
    AccountNotFound,
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

    #[error("the name {0} is taken")]
    NameTaken(String),
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: String },
    #[error("an image of kind {kind} has no file in the role {role}")]
    RoleUnknown { kind: &'static str, role: FileRole },

    #[error("revision {0} is sealed: its bytes never change; make a new revision")]
    RevisionSealed(i64),
    #[error("revision {number} is {}, and this needs one that is ready", state.as_str())]
    RevisionNotReady { number: i64, state: RevisionState },
    #[error("the revision cannot be sealed: {} missing", list(missing))]
    RevisionIncomplete { missing: Vec<FileRole> },
    #[error("the file {0} has no byte, and no machine starts from that: send it again, then seal")]
    EmptyFile(FileRole),
    #[error(
        "the upload was closed before a byte of the file came: nothing was kept, begin it again"
    )]
    NothingCame,
    #[error(
        "channels are assigned to revision {number}: {}; promote another one there first, or withdraw it",
        list(channels)
    )]
    RevisionAssigned { number: i64, channels: Vec<ChannelName> },
    #[error("revision {0} is protected; take the protection away first")]
    RevisionProtected(i64),
    #[error(
        "there is no earlier revision of this channel that is ready and was not rolled back or withdrawn"
    )]
    NothingToRollBackTo,
    #[error("revision {revision} has to be promoted to {channel} first")]
    ChannelRequired { revision: i64, channel: ChannelName },
    #[error(
        "{images} images are promoted to the channel; ?withdraw=true takes them out of the tree"
    )]
    ChannelInUse { images: i64 },
    #[error("the channel {by} requires it; change that first")]
    ChannelIsRequired { by: ChannelName },
    #[error("the last administrator cannot be deleted, disabled or lose the role")]
    LastAdministrator,
    #[error(
        "certificates are mapped to the user: {}; delete these mappings first, for the next that fits would take \
         their certificates over",
        list(mappings)
    )]
    AccountMapped { mappings: Vec<MappingName> },
    #[error("the certificate has a mapping, {0}; delete that first")]
    CertificateMapped(MappingName),
    #[error("it was changed in the meantime; read it again and repeat with the new ETag")]
    Stale,
    #[error("the upload was given up in the meantime; send the file again")]
    UploadLost,
    #[error(
        "there is no such upload: it was cancelled, it has expired, or its draft was sealed or deleted; begin a new one"
    )]
    UploadNotFound,
    #[error("the upload has {expected} bytes, so the next ones begin there and not at {given}")]
    OffsetMismatch { expected: u64, given: u64 },
    #[error("the upload is complete: its bytes are the draft's file")]
    UploadComplete,
    #[error("the upload is not complete: {received} of {size} bytes have come")]
    UploadIncomplete { received: u64, size: u64 },
    #[error("these bytes would end at {end}, and the file has {size}")]
    BeyondEnd { size: u64, end: u64 },
    #[error("the file's length was said to be {known} before, and is now said to be {given}")]
    OtherLength { known: u64, given: u64 },
    #[error(
        "the bytes do not have the checksum that came with them; nothing of them was kept, send them again"
    )]
    ChecksumMismatch,
    #[error(
        "a newer request has taken the upload over, or it was ended; ask for the offset and go on where it says"
    )]
    UploadTakenOver,
    #[error("an older request still writes to the upload and does not let go; try again")]
    UploadBusy,
    #[error("{open} uploads of yours are open, and {limit} may be; finish or delete some")]
    TooManyUploads { open: i64, limit: i64 },
    #[error(
        "the image has {used} bytes, {size} more are past its limit uploads.image_quota of {limit}"
    )]
    QuotaExceeded { used: u64, size: u64, limit: u64 },
    #[error(
        "your uploads have reserved {reserved} bytes, and {size} more are past the {limit} that one caller may have of the \
         free room (uploads.caller_share): finish or cancel some first"
    )]
    CallerShareExceeded { reserved: u64, size: u64, limit: u64 },
    #[error("{0}")]
    Forbidden(&'static str),
    #[error(
        "{0}; nothing was removed. `imagedepot scrub` tells which files are damaged; if the catalog was set back to a backup, see docs/operations.md"
    )]
    ReferencesIncomplete(String),
    #[error("another server is at it and has not ended; try again")]
    JobTaken,

    #[error(
        "revision {revision} is sealed and this file of it damaged: only bytes with the digest {digest} heal it"
    )]
    OtherBytes { revision: i64, digest: Digest },
    #[error("the bytes have the digest {actual}, but {expected} was named")]
    DigestMismatch { expected: String, actual: String },
    #[error("{received} of {announced} bytes came; nothing was kept, send the file again")]
    Truncated { announced: u64, received: u64 },
    #[error("the file has {size} bytes and the limit uploads.max_size is {limit}")]
    TooLarge { size: u64, limit: u64 },
    #[error(
        "a file whose length is not said before has at most {limit} bytes here; say its length"
    )]
    TooLargeUnannounced { limit: u64 },
    #[error(
        "{needed} bytes do not fit: {available} are free beside what is reserved; what was deleted lately stays for \
         store.safety_age, unless POST /api/v1/gc?immediately=true removes it"
    )]
    NoRoom { needed: u64, available: u64 },
    #[error(
        "the disk has {free} bytes left, and store.min_free keeps {floor} of them; what came before is kept, go on \
         when there is room"
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

    /// Returns a conversion for writes with a unique name: a duplicate becomes `NameTaken`, other storage errors stay
    /// as they are.
    pub(crate) fn name_taken(name: &impl std::fmt::Display) -> impl FnOnce(StorageError) -> Self {
        let name = name.to_string();
        move |error| match error {
            StorageError::Duplicate => Self::NameTaken(name),
            other => Self::Storage(other),
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Self {
        Self::invalid("name", error)
    }
}
