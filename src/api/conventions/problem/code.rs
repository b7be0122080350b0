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
        "The body is not valid JSON.";
    MalformedHead: BAD_REQUEST, "malformed_head", GiveUp,
        "The head of the request is not HTTP/1.1 in a form that the server accepts.";
    TlsExpected: BAD_REQUEST, "tls_expected", GiveUp,
        "The request was sent without TLS to a listener that requires it; use https://.";
    HeadTooLarge: REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", GiveUp,
        "The head of the request is larger than 128 KiB.";
    HeadTooSlow: REQUEST_TIMEOUT, "head_too_slow", Wait,
        "The head of the request took longer than ten seconds to arrive.";
    BodyUnreadable: BAD_REQUEST, "body_unreadable", GiveUp,
        "The body could not be read to its end.";
    BodyTruncated: BAD_REQUEST, "body_truncated", SendAgain, catalog Error::Truncated { .. },
        "An upload ended early; the detail says whether its bytes were kept, HEAD of a resumable upload how many.";
    BadQuery: BAD_REQUEST, "bad_query", GiveUp,
        "A parameter in the query is misspelt, or its value is not of the right type.";
    UnknownParameter: BAD_REQUEST, "unknown_parameter", GiveUp,
        "The operation does not know a parameter of the query; the detail names the most similar one that it knows.";
    BadLimit: BAD_REQUEST, "bad_limit", GiveUp,
        "The limit of a page must be from 1 to 500.";
    BadCursor: BAD_REQUEST, "bad_cursor", GiveUp,
        "The cursor was not issued by this list; start again without a cursor.";
    BadLength: BAD_REQUEST, "bad_length", GiveUp,
        "Content-Length is not a number of bytes.";
    BadIdempotencyKey: BAD_REQUEST, "bad_idempotency_key", GiveUp,
        "An Idempotency-Key must have 1 to 255 visible characters.";
    MalformedCondition: BAD_REQUEST, "malformed_condition", GiveUp,
        "If-Match must be * or a list of quoted tags; If-None-Match must be * in a request that changes something.";
    MalformedUploadHeader: BAD_REQUEST, "malformed_upload_header", GiveUp,
        "A header of the upload protocol is missing or cannot be read.";
    InconsistentUploadLength: BAD_REQUEST, "inconsistent_upload_length", GiveUp, catalog Error::OtherLength { .. },
        "The length that the request states does not match its body, or the length that was stated before.";
    MalformedDigest: BAD_REQUEST, "malformed_digest", GiveUp,
        "A digest header such as Repr-Digest is malformed, or two of them contradict each other.";
    DigestNotCompared: BAD_REQUEST, "digest_not_compared", GiveUp,
        "The request names a digest that the server does not check; Want-Repr-Digest lists those that it checks.";
    ContentRangeRefused: BAD_REQUEST, "content_range_refused", GiveUp,
        "A PUT must send the whole file, without Content-Range.";
    CredentialsRequired: UNAUTHORIZED, "credentials_required", LogIn, access Denied::Anonymous,
        "The request needs credentials.";
    CredentialsWrong: UNAUTHORIZED, "credentials_wrong", LogIn, access Denied::WrongCredentials,
        "The name or the password is wrong, or the user is disabled.";
    CredentialsUnreadable: UNAUTHORIZED, "credentials_unreadable", LogIn, access Denied::Unreadable | Denied::NotUtf8,
        "The server cannot read the Authorization header; the detail says why.";
    CredentialsNotOffered: UNAUTHORIZED, "credentials_not_offered", LogIn, access Denied::NotOffered,
        "This address of the server does not accept these credentials; WWW-Authenticate names the accepted types.";
    TokenInvalid: UNAUTHORIZED, "token_invalid", LogIn, access Denied::BadToken(_),
        "The token is not accepted; the detail says why: its form, signature, issuer, audience or revocation.";
    TokenExpired: UNAUTHORIZED, "token_expired", LogIn, access Denied::ExpiredToken,
        "The token has expired; get a new one.";
    TokenWithoutGrant: FORBIDDEN, "token_without_grant", NotAllowed, access Denied::NoGrant,
        "The outside issuer's token is valid, but no entry of access.oidc.grant matches its claims.";
    MalformedClientCert: BAD_REQUEST, "malformed_client_cert", GiveUp, access Denied::CertificateHeader,
        "The Client-Cert header that a trusted proxy passed on is not a certificate, or was sent twice.";
    CertificateDenied: FORBIDDEN, "certificate_denied", NotAllowed, access Denied::CertificateRefused,
        "A certificate mapping refuses the certificate.";
    CertificateNotMapped: FORBIDDEN, "certificate_not_mapped", NotAllowed, access Denied::CertificateNotMapped,
        "No certificate mapping matches the certificate.";
    CertificateUserDisabled: FORBIDDEN, "certificate_user_disabled", NotAllowed, access Denied::CertificateOfDisabled,
        "The user that the certificate is mapped to is disabled.";
    CertificateUnreadable: FORBIDDEN, "certificate_unreadable", NotAllowed, access Denied::CertificateUnreadable,
        "The names in the certificate cannot be read.";
    CertificateRequired: FORBIDDEN, "certificate_required", NotAllowed, access Denied::CertificateMissing,
        "This address of the server requires a client certificate.";
    TicketWrong: UNAUTHORIZED, "ticket_wrong", LogIn, access Denied::WrongTicket,
        "The Kerberos ticket has expired, was used before, or is for another server; the server's log says which.";
    NtlmRefused: UNAUTHORIZED, "ntlm_refused", LogIn, access Denied::Ntlm,
        "The client sent NTLM, but only Kerberos is accepted: the client has no ticket for this server's name.";
    NegotiationTooLong: UNAUTHORIZED, "negotiation_too_long", LogIn, access Denied::TooManySteps,
        "The exchange of tokens would need several requests; a Kerberos ticket needs one.";
    PrincipalUnknown: UNAUTHORIZED, "principal_unknown", LogIn, access Denied::NoSuchPrincipal,
        "The Kerberos ticket's principal is not a user here, or the user is disabled.";
    TooManyReporters: TOO_MANY_REQUESTS, "too_many_reporters", Wait, retry 60, catalog Error::TooManyReporters,
        "Too many clients that are not on record have reported from this certificate or address in this minute; see fleet.new_clients.";
    LoginsSlowed: TOO_MANY_REQUESTS, "logins_slowed", Wait, access Denied::Slowed { .. },
        "Wrong passwords were sent before; Retry-After says when the next one is checked.";
    CrossSiteRequest: FORBIDDEN, "cross_site_request", NotAllowed,
        "According to the browser, a page of another site requests this change; access.cors can allow its origin.";
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
    ClientNotFound: NOT_FOUND, "client_not_found", GiveUp, catalog Error::ClientNotFound,
        "There is no client of this id on record, or it asked only about images that the caller may not know of.";
    MirrorNotFound: NOT_FOUND, "mirror_not_found", GiveUp, catalog Error::MirrorNotFound,
        "There is no mirror of this name on record.";
    UserNotFound: NOT_FOUND, "user_not_found", GiveUp, catalog Error::AccountNotFound,
        "There is no user of this name.";
    WebhookNotFound: NOT_FOUND, "webhook_not_found", GiveUp, catalog Error::WebhookNotFound,
        "There is no webhook of this id.";
    DeliveryNotFound: NOT_FOUND, "delivery_not_found", GiveUp, catalog Error::DeliveryNotFound,
        "The webhook has no delivery of this id, or it was kept for as long as the settings say.";
    TokenNotFound: NOT_FOUND, "token_not_found", GiveUp, catalog Error::TokenNotFound,
        "There is no token of this id, or the caller may not know of it.";
    CertificateMappingNotFound: NOT_FOUND, "certificate_mapping_not_found", GiveUp, catalog Error::CertificateMappingNotFound,
        "There is no certificate mapping of this name.";
    NothingAssigned: NOT_FOUND, "nothing_assigned", GiveUp, catalog Error::NothingAssigned,
        "The channel offers no revision of the image: none was promoted yet, or it was withdrawn.";
    NothingPending: NOT_FOUND, "nothing_pending", GiveUp, catalog Error::NothingPending,
        "No promotion to the channel waits for approval, or the caller has not approved it.";
    PinNotFound: NOT_FOUND, "pin_not_found", GiveUp, catalog Error::PinNotFound,
        "The client has no pin for the image in this channel.";
    OlderReplica: CONFLICT, "older_replica", GiveUp, catalog Error::OlderReplica { .. },
        "A server of an earlier version is running on the catalog and could not read the change; upgrade it first.";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "method_not_allowed", GiveUp,
        "The path does not allow this method; Allow lists the methods that it allows.";
    NameTaken: CONFLICT, "name_taken", GiveUp, catalog Error::NameTaken(_),
        "The name is taken; names are unique without regard to case.";
    RevisionSealed: CONFLICT, "revision_sealed", BeginAnew, catalog Error::RevisionSealed(_),
        "The bytes of a sealed revision never change; create a new revision.";
    RevisionNotReady: CONFLICT, "revision_not_ready", GiveUp, catalog Error::RevisionNotReady { .. },
        "This operation needs a revision that is ready; the detail names the state that it is in.";
    RevisionIncomplete: CONFLICT, "revision_incomplete", GiveUp, catalog Error::RevisionIncomplete { .. },
        "The draft cannot be sealed because files are missing; the detail names them.";
    RevisionAssigned: CONFLICT, "revision_assigned", GiveUp, catalog Error::RevisionAssigned { .. },
        "The revision is assigned to channels; promote another revision there first.";
    ReferencesIncomplete: CONFLICT, "references_incomplete", GiveUp, catalog Error::ReferencesIncomplete(_),
        "No bytes were removed: files have lost theirs, or the store does not seem to belong to the catalog.";
    RevisionProtected: CONFLICT, "revision_protected", GiveUp, catalog Error::RevisionProtected(_),
        "The revision is protected; remove the protection first.";
    NothingToRollBackTo: CONFLICT, "nothing_to_roll_back_to", GiveUp, catalog Error::NothingToRollBackTo,
        "The channel has no earlier revision that is ready and was not rolled back or withdrawn.";
    ChannelRequired: CONFLICT, "channel_required", GiveUp, catalog Error::ChannelRequired { .. },
        "The revision has to be promoted to another channel first.";
    ChannelInUse: CONFLICT, "channel_in_use", GiveUp, catalog Error::ChannelInUse { .. },
        "Images are promoted to the channel; delete it with ?withdraw=true to take them out of the tree.";
    ChannelIsRequired: CONFLICT, "channel_is_required", GiveUp, catalog Error::ChannelIsRequired { .. },
        "Other channels require this one; the detail names them.";
    DryRunUnsupported: BAD_REQUEST, "dry_run_unsupported", GiveUp,
        "This operation does not support ?dry_run=true; nothing was changed.";
    BodyTooSlow: REQUEST_TIMEOUT, "body_too_slow", SendAgain,
        "The body stopped arriving; the detail says whether its bytes were kept, HEAD of a resumable upload how many.";
    LastAdministrator: CONFLICT, "last_administrator", GiveUp, catalog Error::LastAdministrator,
        "The last administrator cannot be deleted or disabled, and cannot lose the role.";
    UserMapped: CONFLICT, "user_mapped", GiveUp, catalog Error::AccountMapped { .. },
        "Certificates are mapped to the user; delete these mappings first.";
    CertificateMapped: CONFLICT, "certificate_mapped", GiveUp, catalog Error::CertificateMapped(_),
        "The certificate already has a mapping; the detail names it.";
    UploadLost: CONFLICT, "upload_lost", BeginAnew, catalog Error::UploadLost,
        "The upload was discarded in the meantime; send the file again.";
    UploadNotFound: NOT_FOUND, "upload_not_found", BeginAnew, catalog Error::UploadNotFound,
        "There is no such upload: it was cancelled, it has expired, or its draft was sealed or deleted; begin a new one.";
    OffsetMismatch: CONFLICT, "offset_mismatch", GiveUp, catalog Error::OffsetMismatch { .. },
        "The next bytes must begin at another offset; the detail names it.";
    UploadComplete: CONFLICT, "upload_complete", GiveUp, catalog Error::UploadComplete,
        "The upload is complete: its bytes are the draft's file.";
    UploadIncomplete: CONFLICT, "upload_incomplete", GiveUp, catalog Error::UploadIncomplete { .. },
        "Not all bytes of the upload have arrived yet.";
    UploadTakenOver: CONFLICT, "upload_taken_over", Wait, catalog Error::UploadTakenOver,
        "A newer request writes to the upload, or it has ended; HEAD reports the offset at which to continue.";
    BeyondEnd: PAYLOAD_TOO_LARGE, "beyond_end", GiveUp, catalog Error::BeyondEnd { .. },
        "The bytes would exceed the size that was stated for the upload.";
    ImageQuotaExceeded: PAYLOAD_TOO_LARGE, "image_quota_exceeded", ReportTooLarge, catalog Error::QuotaExceeded { .. },
        "The image would exceed uploads.image_quota, which the detail names.";
    EmptyFile: UNPROCESSABLE_ENTITY, "empty_file", GiveUp, catalog Error::EmptyFile(_),
        "A file has 0 bytes, so it is not an image; the draft was not sealed.";
    NothingCame: UNPROCESSABLE_ENTITY, "nothing_came", GiveUp, catalog Error::NothingCame,
        "A BITS upload was closed before its first fragment; nothing was kept.";
    ChecksumMismatch: UNPROCESSABLE_ENTITY, "checksum_mismatch", GiveUp, catalog Error::ChecksumMismatch,
        "The bytes do not have the checksum that came with them; none of them were kept.";
    TooManyUploads: TOO_MANY_REQUESTS, "too_many_uploads", Wait, retry 60, catalog Error::TooManyUploads { .. },
        "The caller has too many open uploads; finish or delete some.";
    TooManyWebhooks: CONFLICT, "too_many_webhooks", GiveUp, catalog Error::TooManyWebhooks(_),
        "The depot has as many webhooks as it may have; delete one first.";
    IdempotencyKeyReused: CONFLICT, "idempotency_key_reused", GiveUp,
        "The Idempotency-Key was used before with another request, or when the caller had other rights; use a new key.";
    IdempotencyUnanswered: CONFLICT, "idempotency_unanswered", GiveUp,
        "The first request with this Idempotency-Key has no stored answer; check whether the change was made.";
    RevisionDeleted: GONE, "revision_deleted", BeginAnew, catalog Error::RevisionDeleted(_),
        "The revision was deleted; its number is not used again.";
    RevisionRevoked: GONE, "revision_revoked", GiveUp,
        "The file belongs to a revision that was revoked, and is no longer served.";
    TokenRevoked: GONE, "token_revoked", GiveUp, catalog Error::TokenRevoked,
        "The token was revoked.";
    LengthRequired: LENGTH_REQUIRED, "length_required", GiveUp,
        "The PUT has no body; send an empty file with Content-Length: 0.";
    UploadLengthRequired: LENGTH_REQUIRED, "upload_length_required", GiveUp,
        "A tus upload must state the file's size in Upload-Length, or send Upload-Defer-Length: 1 to state it later.";
    TusVersionUnsupported: PRECONDITION_FAILED, "tus_version_unsupported", GiveUp,
        "The server does not support this version of tus; Tus-Version lists the versions that it supports.";
    PreconditionFailed: PRECONDITION_FAILED, "precondition_failed", GiveUp, catalog Error::Stale,
        "The resource was changed in the meantime; read it again and repeat the request with the new ETag.";
    TooManyBodies: SERVICE_UNAVAILABLE, "too_many_bodies", WaitForBackEnd, retry 2,
        "Other requests use all the memory that the server has for request bodies.";
    BodyTooLarge: PAYLOAD_TOO_LARGE, "body_too_large", GiveUp,
        "The body is larger than the limit, which the detail names.";
    LengthNotAnnounced: PAYLOAD_TOO_LARGE, "length_not_announced", GiveUp, catalog Error::TooLargeUnannounced { .. },
        "A file of this size must state its length in advance, because its parts in a bucket depend on it.";
    FileTooLarge: PAYLOAD_TOO_LARGE, "file_too_large", ReportTooLarge, catalog Error::TooLarge { .. },
        "The file is larger than uploads.max_size, which the detail names.";
    JsonExpected: UNSUPPORTED_MEDIA_TYPE, "json_expected", GiveUp,
        "The body must be JSON; send it with Content-Type: application/json.";
    RawBytesExpected: UNSUPPORTED_MEDIA_TYPE, "raw_bytes_expected", GiveUp,
        "The body must be the file itself, not a form (curl -T FILE).";
    PartialUploadExpected: UNSUPPORTED_MEDIA_TYPE, "partial_upload_expected", GiveUp,
        "Append bytes as application/partial-upload, or in the tus protocol with Tus-Resumable.";
    OffsetOctetStreamExpected: UNSUPPORTED_MEDIA_TYPE, "offset_octet_stream_expected", GiveUp,
        "A tus request must send its bytes as application/offset+octet-stream.";
    ContentCodingRefused: UNSUPPORTED_MEDIA_TYPE, "content_coding_refused", GiveUp,
        "Files must be sent as they are, without a content coding.";
    RangeNotSatisfiable: RANGE_NOT_SATISFIABLE, "range_not_satisfiable", GiveUp,
        "None of the ranges is inside the file; Content-Range has its size.";
    InvalidValue: UNPROCESSABLE_ENTITY, "invalid_value", GiveUp, catalog Error::Invalid { .. },
        "A field is unknown or its value is not allowed; the detail says which.";
    RoleUnknown: UNPROCESSABLE_ENTITY, "role_unknown", GiveUp, catalog Error::RoleUnknown { .. },
        "Images of this kind have no file in this role.";
    OtherBytes: UNPROCESSABLE_ENTITY, "other_bytes", GiveUp, catalog Error::OtherBytes { .. },
        "A damaged file of a sealed revision can only be healed with the same bytes.";
    DigestMismatch: UNPROCESSABLE_ENTITY, "digest_mismatch", GiveUp, catalog Error::DigestMismatch { .. },
        "The bytes do not have the digest that the request names; nothing was kept.";

    // These say nothing about the request: it may be repeated unchanged.
    Internal: INTERNAL_SERVER_ERROR, "internal", TryAgain,
        "An internal error occurred; the server's log has the details under the request_id.";
    TooManyConnections: SERVICE_UNAVAILABLE, "too_many_connections", WaitForBackEnd, retry 10,
        "Too many connections are open, from the caller's address or in all; close some, or try again later.";
    Starting: SERVICE_UNAVAILABLE, "starting", WaitForBackEnd, retry 1,
        "The server has just started and has not loaded the catalog yet.";
    CatalogFrozen: SERVICE_UNAVAILABLE, "catalog_frozen", WaitForBackEnd, retry 60,
        "The catalog is being moved, or has moved, and accepts no changes at its old location.";
    JobTaken: SERVICE_UNAVAILABLE, "job_taken", WaitForBackEnd, retry 10, catalog Error::JobTaken,
        "Another server is doing the same work and has not finished.";
    UploadBusy: SERVICE_UNAVAILABLE, "upload_busy", Wait, retry 5, catalog Error::UploadBusy,
        "An older request is still writing to the upload.";
    LoginsStale: SERVICE_UNAVAILABLE, "logins_stale", WaitForBackEnd, retry 5, access Denied::Stale,
        "The database has not answered for longer than access.stale_after, so the server cannot check who may log in.";
    IssuerAway: SERVICE_UNAVAILABLE, "issuer_away", WaitForBackEnd, retry 10, access Denied::IssuerAway,
        "The keys of the outside issuer could not be fetched yet, or the last ones are too old.";
    LoginsBusy: SERVICE_UNAVAILABLE, "logins_busy", WaitForBackEnd, retry 5, access Denied::Busy,
        "Too many log-ins are in progress; Retry-After says when to try again.";
    TooManyDownloads: SERVICE_UNAVAILABLE, "too_many_downloads", WaitForBackEnd, retry 60,
        "The server's download limit is reached.";
    TooManyChecks: SERVICE_UNAVAILABLE, "too_many_checks", Wait, retry 30,
        "The server answers as many update checks as checks.hard_limit allows; Retry-After says when to ask again.";
    DatabaseUnavailable: SERVICE_UNAVAILABLE, "database_unavailable", WaitForBackEnd, retry 2,
        "The database is busy or unreachable; nothing was changed.";
    StoreUnavailable: SERVICE_UNAVAILABLE, "store_unavailable", WaitForBackEnd, retry 10,
        "The store of files is unavailable at the moment.";
    ChunksPending: SERVICE_UNAVAILABLE, "chunks_pending", Wait, retry 30, catalog Error::ChunksPending,
        "A chunk list that the forecast needs is not made yet; Retry-After says when to ask again.";
    CallerShareExceeded: INSUFFICIENT_STORAGE, "caller_share_exceeded", ReportFullDisk, catalog Error::CallerShareExceeded { .. },
        "The caller's uploads have reserved all the free disk space that one caller may have (uploads.caller_share).";
    NoRoom: INSUFFICIENT_STORAGE, "no_room", ReportFullDisk, catalog Error::NoRoom { .. } | Error::FloorReached { .. },
        "The bytes do not fit on the server's disk, or it is full and accepts only operations that free space or lock \
         a caller out; nothing was changed.";
}
