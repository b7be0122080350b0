//! The table of refusals: for each its code, its status, its meaning, and what a BITS client is to do.
//!
//! A [`super::Problem`] can only be made with a code of this table. A new refusal is a new line here and, if it comes
//! from the catalog, a variant of its `Error`, which the line names. The columns are:
//!
//! 1. the variant, the status, and the code that programs compare, whose meaning never changes;
//! 2. the reaction of a BITS client ([`Reaction`]);
//! 3. `retry`: the seconds of `Retry-After`, if they are always the same;
//! 4. `catalog` and `access`: the errors of these modules that are reported with this code. An error without a line
//!    does not compile, nor does a line whose code is never used;
//! 5. the text for `/docs/problems` ([`super::page`]).

#[cfg(test)]
mod tests;

use actix_web::http::StatusCode;

use crate::access::Denied;
use crate::catalog::Error;
use crate::storage::StorageError;
use crate::wire::bits::Reaction;

/// A line of the table.
pub(super) struct Refusal {
    pub code: &'static str,
    pub status: StatusCode,
    pub meaning: &'static str,
    reaction: Reaction,
    retry_after: Option<u16>,
    #[cfg(test)]
    variant: &'static str,
}

/// Converts a column that may be empty.
macro_rules! column {
    () => {
        None
    };
    ($seconds:literal) => {
        Some($seconds)
    };
}

macro_rules! refusals {
    ($(
        $variant:ident: $status:ident, $code:literal, $reaction:ident
        $(, retry $seconds:literal)? $(, catalog $error:pat)? $(, access $denied:pat)?,
        $meaning:literal;
    )+) => {
        /// The reason why a request was refused, for programs. It is not public, so that the compiler reports a code
        /// that is never used.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code {
            $($variant,)+
        }

        /// The table, in the order of [`Code`].
        pub(super) const TABLE: &[Refusal] = &[$(
            Refusal {
                code: $code,
                status: StatusCode::$status,
                meaning: $meaning,
                reaction: Reaction::$reaction,
                retry_after: column!($($seconds)?),
                #[cfg(test)]
                variant: stringify!($variant),
            },
        )+];

        impl Code {
            /// Returns the code for a refusal by the catalog. A failure of the storage below it is returned as the
            /// error, because it has texts of its own.
            pub(crate) fn of_catalog(error: &Error) -> Result<Self, &StorageError> {
                Ok(match error {
                    Error::Storage(storage) => return Err(storage),
                    $($($error => Self::$variant,)?)+
                })
            }
        }

        impl From<&Denied> for Code {
            fn from(denied: &Denied) -> Self {
                match denied {
                    $($($denied => Self::$variant,)?)+
                }
            }
        }
    };
}

impl Code {
    const fn line(self) -> &'static Refusal {
        &TABLE[self as usize]
    }

    pub(crate) const fn as_str(self) -> &'static str {
        self.line().code
    }

    pub(crate) const fn status(self) -> StatusCode {
        self.line().status
    }

    /// Returns what a BITS client is to do after this refusal.
    pub(crate) const fn reaction(self) -> Reaction {
        self.line().reaction
    }

    /// Returns the seconds of `Retry-After`, if they are always the same.
    pub(super) const fn retry_after(self) -> Option<u16> {
        self.line().retry_after
    }
}

refusals! {
    MalformedJson: BAD_REQUEST, "malformed_json", GiveUp,
        "The body is no JSON.";
    MalformedHead: BAD_REQUEST, "malformed_head", GiveUp,
        "The head of the request is not HTTP/1.1 as the server reads it.";
    TlsExpected: BAD_REQUEST, "tls_expected", GiveUp,
        "The request came without TLS to a listener that has it: https:// is meant.";
    HeadTooLarge: REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", GiveUp,
        "The head of the request is larger than 128 KiB.";
    HeadTooSlow: REQUEST_TIMEOUT, "head_too_slow", Wait,
        "The head of the request took longer than ten seconds to come.";
    BodyUnreadable: BAD_REQUEST, "body_unreadable", GiveUp,
        "The body could not be read to its end.";
    BodyTruncated: BAD_REQUEST, "body_truncated", SendAgain, catalog Error::Truncated { .. },
        "An upload ended early. The detail says whether what came was kept; HEAD of a resumable upload tells how much.";
    BadQuery: BAD_REQUEST, "bad_query", GiveUp,
        "A parameter in the query is not of its type, or misspelt.";
    UnknownParameter: BAD_REQUEST, "unknown_parameter", GiveUp,
        "The query has a parameter that the operation does not know; the detail names the nearest that it knows.";
    BadLimit: BAD_REQUEST, "bad_limit", GiveUp,
        "A page has 1 to 500 items.";
    BadCursor: BAD_REQUEST, "bad_cursor", GiveUp,
        "The cursor is not one that this list gave; begin again without it.";
    BadLength: BAD_REQUEST, "bad_length", GiveUp,
        "Content-Length is no number of bytes.";
    BadIdempotencyKey: BAD_REQUEST, "bad_idempotency_key", GiveUp,
        "An Idempotency-Key has 1 to 255 visible characters.";
    MalformedCondition: BAD_REQUEST, "malformed_condition", GiveUp,
        "If-Match takes * or quoted tags; If-None-Match takes * where something is changed.";
    MalformedUploadHeader: BAD_REQUEST, "malformed_upload_header", GiveUp,
        "A header of the upload's protocol cannot be read or is missing.";
    InconsistentUploadLength: BAD_REQUEST, "inconsistent_upload_length", GiveUp, catalog Error::OtherLength { .. },
        "What the request says of the length contradicts itself or what was said before.";
    MalformedDigest: BAD_REQUEST, "malformed_digest", GiveUp,
        "Repr-Digest or Content-Digest is not written as RFC 9530 has it.";
    DigestNotCompared: BAD_REQUEST, "digest_not_compared", GiveUp,
        "The request names a digest of its bytes that is not computed here; Want-Repr-Digest has those that are.";
    ContentRangeRefused: BAD_REQUEST, "content_range_refused", GiveUp,
        "A PUT sends the whole file.";
    CredentialsRequired: UNAUTHORIZED, "credentials_required", LogIn, access Denied::Anonymous,
        "This needs credentials.";
    CredentialsWrong: UNAUTHORIZED, "credentials_wrong", LogIn, access Denied::WrongCredentials,
        "The name or the password is wrong, or the user is disabled.";
    CredentialsUnreadable: UNAUTHORIZED, "credentials_unreadable", LogIn, access Denied::Unreadable | Denied::NotUtf8,
        "The Authorization header is not one that this server reads.";
    CredentialsNotOffered: UNAUTHORIZED, "credentials_not_offered", LogIn, access Denied::NotOffered,
        "This address of the server does not take credentials of this kind; WWW-Authenticate names those that it takes.";
    TokenInvalid: UNAUTHORIZED, "token_invalid", LogIn, access Denied::BadToken(_),
        "The token is not accepted: the detail says whether its form, signature, issuer, audience or revocation is why.";
    TokenExpired: UNAUTHORIZED, "token_expired", LogIn, access Denied::ExpiredToken,
        "The token has expired; get a new one.";
    TokenWithoutGrant: FORBIDDEN, "token_without_grant", NotAllowed, access Denied::NoGrant,
        "The outside issuer's token is good, but no access.oidc.grant matches what it says of its holder.";
    MalformedClientCert: BAD_REQUEST, "malformed_client_cert", GiveUp, access Denied::CertificateHeader,
        "The Client-Cert header that a trusted proxy passed on is no certificate, or came twice.";
    CertificateDenied: FORBIDDEN, "certificate_denied", NotAllowed, access Denied::CertificateRefused,
        "A certificate mapping refuses the certificate.";
    CertificateNotMapped: FORBIDDEN, "certificate_not_mapped", NotAllowed, access Denied::CertificateNotMapped,
        "No certificate mapping fits the certificate.";
    CertificateUserDisabled: FORBIDDEN, "certificate_user_disabled", NotAllowed, access Denied::CertificateOfDisabled,
        "The user whom the certificate is mapped to is disabled.";
    CertificateUnreadable: FORBIDDEN, "certificate_unreadable", NotAllowed, access Denied::CertificateUnreadable,
        "The names in the certificate cannot be read.";
    CertificateRequired: FORBIDDEN, "certificate_required", NotAllowed, access Denied::CertificateMissing,
        "This address of the server needs a client certificate.";
    TicketWrong: UNAUTHORIZED, "ticket_wrong", LogIn, access Denied::WrongTicket,
        "The Kerberos ticket has expired, was used before, or is for another server; the server's log says which.";
    NtlmRefused: UNAUTHORIZED, "ntlm_refused", LogIn, access Denied::Ntlm,
        "NTLM came where Kerberos is taken: the client has no ticket for this server's name.";
    NegotiationTooLong: UNAUTHORIZED, "negotiation_too_long", LogIn, access Denied::TooManySteps,
        "The exchange of tokens would take several requests; a Kerberos ticket takes one.";
    PrincipalUnknown: UNAUTHORIZED, "principal_unknown", LogIn, access Denied::NoSuchPrincipal,
        "The Kerberos ticket's owner is no user here, or a disabled one.";
    LoginsSlowed: TOO_MANY_REQUESTS, "logins_slowed", Wait, access Denied::Slowed { .. },
        "Wrong passwords came before; Retry-After says when the next one is looked at.";
    CrossSiteRequest: FORBIDDEN, "cross_site_request", NotAllowed,
        "A browser says that a page of another site asks for this change; access.cors lets pages of trusted origins in.";
    Forbidden: FORBIDDEN, "forbidden", NotAllowed, catalog Error::Forbidden(_),
        "The caller lacks the right; the detail says which.";
    NotFound: NOT_FOUND, "not_found", GiveUp,
        "There is nothing at this path.";
    ImageNotFound: NOT_FOUND, "image_not_found", GiveUp, catalog Error::ImageNotFound,
        "There is no image of this name, or the caller may not know of it.";
    RevisionNotFound: NOT_FOUND, "revision_not_found", GiveUp, catalog Error::RevisionNotFound(_),
        "The image has no revision of this number.";
    FileNotFound: NOT_FOUND, "file_not_found", GiveUp, catalog Error::FileNotFound(_),
        "The revision has no file in this role yet.";
    ChannelNotFound: NOT_FOUND, "channel_not_found", GiveUp, catalog Error::ChannelNotFound,
        "There is no channel of this name.";
    UserNotFound: NOT_FOUND, "user_not_found", GiveUp, catalog Error::AccountNotFound,
        "There is no user of this name.";
    TokenNotFound: NOT_FOUND, "token_not_found", GiveUp, catalog Error::TokenNotFound,
        "There is no token of this id, or the caller may not know of it.";
    CertificateMappingNotFound: NOT_FOUND, "certificate_mapping_not_found", GiveUp, catalog Error::CertificateMappingNotFound,
        "There is no certificate mapping of this name.";
    NothingAssigned: NOT_FOUND, "nothing_assigned", GiveUp, catalog Error::NothingAssigned,
        "The channel offers no revision of the image: none was promoted yet, or it was withdrawn.";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "method_not_allowed", GiveUp,
        "The path is right and the method is not; Allow has those that are.";
    NameTaken: CONFLICT, "name_taken", GiveUp, catalog Error::NameTaken(_),
        "Another one has the name; names are unique without regard to case.";
    RevisionSealed: CONFLICT, "revision_sealed", BeginAnew, catalog Error::RevisionSealed(_),
        "The bytes of a sealed revision never change; make a new revision.";
    RevisionNotReady: CONFLICT, "revision_not_ready", GiveUp, catalog Error::RevisionNotReady { .. },
        "This needs a revision that is ready; the detail says what it is instead.";
    RevisionIncomplete: CONFLICT, "revision_incomplete", GiveUp, catalog Error::RevisionIncomplete { .. },
        "Files are missing before the draft can be sealed; the detail names them.";
    RevisionAssigned: CONFLICT, "revision_assigned", GiveUp, catalog Error::RevisionAssigned { .. },
        "Channels are assigned to the revision; promote another one there first.";
    ReferencesIncomplete: CONFLICT, "references_incomplete", GiveUp, catalog Error::ReferencesIncomplete(_),
        "Something speaks against removing bytes: files without theirs, or a store that looks like another catalog's.";
    RevisionProtected: CONFLICT, "revision_protected", GiveUp, catalog Error::RevisionProtected(_),
        "The revision is protected; take the protection away first.";
    NothingToRollBackTo: CONFLICT, "nothing_to_roll_back_to", GiveUp, catalog Error::NothingToRollBackTo,
        "No earlier revision of the channel is ready and was not rolled back.";
    ChannelRequired: CONFLICT, "channel_required", GiveUp, catalog Error::ChannelRequired { .. },
        "The revision has to be promoted to another channel first.";
    ChannelInUse: CONFLICT, "channel_in_use", GiveUp, catalog Error::ChannelInUse { .. },
        "Images are promoted to the channel; ?withdraw=true takes them out of the tree.";
    ChannelIsRequired: CONFLICT, "channel_is_required", GiveUp, catalog Error::ChannelIsRequired { .. },
        "Other channels require this one; the detail names them.";
    DryRunUnsupported: BAD_REQUEST, "dry_run_unsupported", GiveUp,
        "This operation cannot be tried with ?dry_run=true; nothing was changed.";
    BodyTooSlow: REQUEST_TIMEOUT, "body_too_slow", SendAgain,
        "The body stopped coming. The detail says whether what came was kept; HEAD of a resumable upload tells how much.";
    LastAdministrator: CONFLICT, "last_administrator", GiveUp, catalog Error::LastAdministrator,
        "The last administrator cannot be deleted, disabled or lose the role.";
    UserMapped: CONFLICT, "user_mapped", GiveUp, catalog Error::AccountMapped { .. },
        "Certificates are mapped to the user; delete these mappings first.";
    CertificateMapped: CONFLICT, "certificate_mapped", GiveUp, catalog Error::CertificateMapped(_),
        "The certificate has a mapping already; the detail names it.";
    UploadLost: CONFLICT, "upload_lost", BeginAnew, catalog Error::UploadLost,
        "The upload was given up in the meantime; send the file again.";
    UploadNotFound: NOT_FOUND, "upload_not_found", BeginAnew, catalog Error::UploadNotFound,
        "There is no such upload: it was cancelled, it has expired, or its draft was sealed or deleted; begin a new one.";
    OffsetMismatch: CONFLICT, "offset_mismatch", GiveUp, catalog Error::OffsetMismatch { .. },
        "The next bytes begin at another offset; the detail says which.";
    UploadComplete: CONFLICT, "upload_complete", GiveUp, catalog Error::UploadComplete,
        "The upload is complete: its bytes are the draft's file.";
    UploadIncomplete: CONFLICT, "upload_incomplete", GiveUp, catalog Error::UploadIncomplete { .. },
        "Not all bytes of the upload have come yet.";
    UploadTakenOver: CONFLICT, "upload_taken_over", Wait, catalog Error::UploadTakenOver,
        "A newer request writes to the upload, or it was ended; HEAD tells where to go on.";
    BeyondEnd: PAYLOAD_TOO_LARGE, "beyond_end", GiveUp, catalog Error::BeyondEnd { .. },
        "The bytes would go past the size that the upload was begun with.";
    ImageQuotaExceeded: PAYLOAD_TOO_LARGE, "image_quota_exceeded", ReportTooLarge, catalog Error::QuotaExceeded { .. },
        "The image has as many bytes as uploads.image_quota allows, which the detail names.";
    EmptyFile: UNPROCESSABLE_ENTITY, "empty_file", GiveUp, catalog Error::EmptyFile(_),
        "A file of 0 bytes is no image: the draft was not sealed.";
    NothingCame: UNPROCESSABLE_ENTITY, "nothing_came", GiveUp, catalog Error::NothingCame,
        "A BITS upload was closed before its first fragment; nothing was kept.";
    ChecksumMismatch: UNPROCESSABLE_ENTITY, "checksum_mismatch", GiveUp, catalog Error::ChecksumMismatch,
        "The bytes do not have the checksum that came with them; nothing of them was kept.";
    TooManyUploads: TOO_MANY_REQUESTS, "too_many_uploads", Wait, retry 60, catalog Error::TooManyUploads { .. },
        "Too many uploads of the caller are open; finish or delete some.";
    IdempotencyKeyReused: CONFLICT, "idempotency_key_reused", GiveUp,
        "The Idempotency-Key came with another request before, or when its caller had other rights; take a new one.";
    IdempotencyUnanswered: CONFLICT, "idempotency_unanswered", GiveUp,
        "The first request with this key has no answer; look whether the change was made.";
    RevisionDeleted: GONE, "revision_deleted", BeginAnew, catalog Error::RevisionDeleted(_),
        "The revision was deleted; its number is not used again.";
    RevisionRevoked: GONE, "revision_revoked", GiveUp,
        "The file was of a revision that was revoked: it is given to nobody any more.";
    TokenRevoked: GONE, "token_revoked", GiveUp, catalog Error::TokenRevoked,
        "The token was revoked.";
    LengthRequired: LENGTH_REQUIRED, "length_required", GiveUp,
        "A PUT without a body has no file: an empty one is sent with Content-Length: 0.";
    UploadLengthRequired: LENGTH_REQUIRED, "upload_length_required", GiveUp,
        "A tus upload says the size of the whole file with Upload-Length, or Upload-Defer-Length: 1 where it is told later.";
    TusVersionUnsupported: PRECONDITION_FAILED, "tus_version_unsupported", GiveUp,
        "The server speaks the versions of tus that Tus-Version has.";
    PreconditionFailed: PRECONDITION_FAILED, "precondition_failed", GiveUp, catalog Error::Stale,
        "It was changed in the meantime; read it again and repeat with the new ETag.";
    TooManyBodies: SERVICE_UNAVAILABLE, "too_many_bodies", WaitForBackEnd, retry 2,
        "Other requests hold as much memory as the server has for bodies.";
    BodyTooLarge: PAYLOAD_TOO_LARGE, "body_too_large", GiveUp,
        "A JSON body has 1 MiB at the most.";
    LengthNotAnnounced: PAYLOAD_TOO_LARGE, "length_not_announced", GiveUp, catalog Error::TooLargeUnannounced { .. },
        "A file of this size has to say its length before its first byte, for a bucket takes it in parts of a size to match.";
    FileTooLarge: PAYLOAD_TOO_LARGE, "file_too_large", ReportTooLarge, catalog Error::TooLarge { .. },
        "The file is larger than uploads.max_size, which the detail names.";
    JsonExpected: UNSUPPORTED_MEDIA_TYPE, "json_expected", GiveUp,
        "The body is JSON; say so with Content-Type: application/json.";
    RawBytesExpected: UNSUPPORTED_MEDIA_TYPE, "raw_bytes_expected", GiveUp,
        "The body is the file itself, without a form around it (curl -T FILE).";
    PartialUploadExpected: UNSUPPORTED_MEDIA_TYPE, "partial_upload_expected", GiveUp,
        "Bytes are appended as application/partial-upload, or as tus has it with Tus-Resumable.";
    OffsetOctetStreamExpected: UNSUPPORTED_MEDIA_TYPE, "offset_octet_stream_expected", GiveUp,
        "tus sends bytes as application/offset+octet-stream.";
    ContentCodingRefused: UNSUPPORTED_MEDIA_TYPE, "content_coding_refused", GiveUp,
        "Files are sent as they are, without a content coding.";
    RangeNotSatisfiable: RANGE_NOT_SATISFIABLE, "range_not_satisfiable", GiveUp,
        "None of the ranges is inside the file; Content-Range has its size.";
    InvalidValue: UNPROCESSABLE_ENTITY, "invalid_value", GiveUp, catalog Error::Invalid { .. },
        "A field is unknown or its value is not allowed; the detail says which.";
    RoleUnknown: UNPROCESSABLE_ENTITY, "role_unknown", GiveUp, catalog Error::RoleUnknown { .. },
        "Images of this kind have no file in this role.";
    OtherBytes: UNPROCESSABLE_ENTITY, "other_bytes", GiveUp, catalog Error::OtherBytes { .. },
        "A damaged file of a sealed revision is healed by the same bytes, and by no others.";
    DigestMismatch: UNPROCESSABLE_ENTITY, "digest_mismatch", GiveUp, catalog Error::DigestMismatch { .. },
        "Other bytes came than the digest names; nothing was kept.";

    // These say nothing about the request: it may be repeated unchanged.
    Internal: INTERNAL_SERVER_ERROR, "internal", TryAgain,
        "Something went wrong in the server; its log says what, under the request_id.";
    TooManyConnections: SERVICE_UNAVAILABLE, "too_many_connections", WaitForBackEnd, retry 10,
        "The caller's address has too many connections open, or all together have; close some, or ask later.";
    Starting: SERVICE_UNAVAILABLE, "starting", WaitForBackEnd, retry 1,
        "The server has only just started.";
    CatalogFrozen: SERVICE_UNAVAILABLE, "catalog_frozen", WaitForBackEnd, retry 60,
        "The catalog is being moved, or has moved: nothing is changed at its old place.";
    JobTaken: SERVICE_UNAVAILABLE, "job_taken", WaitForBackEnd, retry 10, catalog Error::JobTaken,
        "Another server does this very work and has not ended.";
    UploadBusy: SERVICE_UNAVAILABLE, "upload_busy", Wait, retry 5, catalog Error::UploadBusy,
        "An older request still writes to the upload and does not let go.";
    LoginsStale: SERVICE_UNAVAILABLE, "logins_stale", WaitForBackEnd, retry 5, access Denied::Stale,
        "The database has not answered for access.stale_after: who may log in may have changed since.";
    IssuerAway: SERVICE_UNAVAILABLE, "issuer_away", WaitForBackEnd, retry 10, access Denied::IssuerAway,
        "The keys of the outside issuer could not be fetched yet, or not for too long.";
    LoginsBusy: SERVICE_UNAVAILABLE, "logins_busy", WaitForBackEnd, retry 5, access Denied::Busy,
        "Too many log-ins at once; Retry-After says when to try again.";
    TooManyDownloads: SERVICE_UNAVAILABLE, "too_many_downloads", WaitForBackEnd, retry 60,
        "As many downloads as the server allows are under way.";
    DatabaseUnavailable: SERVICE_UNAVAILABLE, "database_unavailable", WaitForBackEnd, retry 2,
        "The database is busy or away; nothing was changed.";
    StoreUnavailable: SERVICE_UNAVAILABLE, "store_unavailable", WaitForBackEnd, retry 10,
        "The store of files does not work at the moment.";
    CallerShareExceeded: INSUFFICIENT_STORAGE, "caller_share_exceeded", ReportFullDisk, catalog Error::CallerShareExceeded { .. },
        "The caller's uploads under way have reserved what one caller may have of the free room (uploads.caller_share).";
    NoRoom: INSUFFICIENT_STORAGE, "no_room", ReportFullDisk, catalog Error::NoRoom { .. } | Error::FloorReached { .. },
        "The bytes do not fit on the server's disk, or it is full and takes only what frees room or shuts somebody out; nothing was changed.";
}
