//! Every code that a problem document may carry, and the page that their `type` leads to.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;

/// Code, status, and what it means to who sees it.
const CODES: [(&str, u16, &str); 89] = [
    ("malformed_json", 400, "The body is no JSON."),
    ("body_unreadable", 400, "The body could not be read to its end."),
    (
        "body_truncated",
        400,
        "An upload ended early. The detail says whether what came was kept; HEAD of a resumable upload tells how much.",
    ),
    ("bad_query", 400, "A parameter in the query is not of its type, or misspelt."),
    ("bad_limit", 400, "A page has 1 to 500 items."),
    ("bad_cursor", 400, "The cursor is not one that this list gave; begin again without it."),
    ("bad_length", 400, "Content-Length is no number of bytes."),
    ("bad_idempotency_key", 400, "An Idempotency-Key has 1 to 255 visible characters."),
    (
        "malformed_condition",
        400,
        "If-Match takes * or quoted tags; If-None-Match takes * where something is changed.",
    ),
    (
        "malformed_upload_header",
        400,
        "A header of the upload's protocol cannot be read or is missing.",
    ),
    (
        "inconsistent_upload_length",
        400,
        "What the request says of the length contradicts itself or what was said before.",
    ),
    ("malformed_digest", 400, "Repr-Digest or Content-Digest is not written as RFC 9530 has it."),
    ("content_range_refused", 400, "A PUT sends the whole file."),
    ("credentials_required", 401, "This needs credentials."),
    ("credentials_wrong", 401, "The name or the password is wrong, or the user is disabled."),
    ("credentials_unreadable", 401, "The Authorization header is not one that this server reads."),
    (
        "credentials_not_offered",
        401,
        "This address of the server does not take credentials of this kind; WWW-Authenticate names those that it takes.",
    ),
    (
        "token_invalid",
        401,
        "The token is not accepted: the detail says whether its form, signature, issuer, audience or revocation is why.",
    ),
    ("token_expired", 401, "The token has expired; get a new one."),
    (
        "token_without_grant",
        403,
        "The outside issuer's token is good, but no access.oidc.grant matches what it says of its holder.",
    ),
    (
        "malformed_client_cert",
        400,
        "The Client-Cert header that a trusted proxy passed on is no certificate, or came twice.",
    ),
    ("certificate_denied", 403, "A certificate mapping refuses the certificate."),
    ("certificate_not_mapped", 403, "No certificate mapping fits the certificate."),
    ("certificate_user_disabled", 403, "The user whom the certificate is mapped to is disabled."),
    ("certificate_unreadable", 403, "The names in the certificate cannot be read."),
    ("certificate_required", 403, "This address of the server needs a client certificate."),
    (
        "ticket_wrong",
        401,
        "The Kerberos ticket has expired, was used before, or is for another server; the server's log says which.",
    ),
    (
        "ntlm_refused",
        401,
        "NTLM came where Kerberos is taken: the client has no ticket for this server's name.",
    ),
    (
        "negotiation_too_long",
        401,
        "The exchange of tokens would take several requests; a Kerberos ticket takes one.",
    ),
    ("principal_unknown", 401, "The Kerberos ticket's owner is no user here, or a disabled one."),
    (
        "logins_slowed",
        429,
        "Wrong passwords came before; Retry-After says when the next one is looked at.",
    ),
    (
        "cross_site_request",
        403,
        "A browser says that a page of another site asks for this change; access.cors lets pages of trusted origins in.",
    ),
    ("forbidden", 403, "The caller lacks the right; the detail says which."),
    ("not_found", 404, "There is nothing at this path."),
    ("image_not_found", 404, "There is no image of this name, or the caller may not know of it."),
    ("revision_not_found", 404, "The image has no revision of this number."),
    ("file_not_found", 404, "The revision has no file in this role yet."),
    ("channel_not_found", 404, "There is no channel of this name."),
    ("user_not_found", 404, "There is no user of this name."),
    ("token_not_found", 404, "There is no token of this id, or the caller may not know of it."),
    ("certificate_mapping_not_found", 404, "There is no certificate mapping of this name."),
    ("nothing_assigned", 404, "No revision of the image was promoted to the channel yet."),
    (
        "method_not_allowed",
        405,
        "The path is right and the method is not; Allow has those that are.",
    ),
    ("name_taken", 409, "Another one has the name; names are unique without regard to case."),
    ("revision_sealed", 409, "The bytes of a sealed revision never change; make a new revision."),
    (
        "revision_not_ready",
        409,
        "This needs a revision that is ready; the detail says what it is instead.",
    ),
    (
        "revision_incomplete",
        409,
        "Files are missing before the draft can be sealed; the detail names them.",
    ),
    (
        "revision_assigned",
        409,
        "Channels are assigned to the revision; promote another one there first.",
    ),
    (
        "references_incomplete",
        409,
        "Something speaks against removing bytes: files without theirs, or a store that looks like another catalog's.",
    ),
    ("revision_protected", 409, "The revision is protected; take the protection away first."),
    (
        "nothing_to_roll_back_to",
        409,
        "No earlier revision of the channel is ready and was not rolled back.",
    ),
    ("channel_required", 409, "The revision has to be promoted to another channel first."),
    (
        "channel_in_use",
        409,
        "Images are promoted to the channel; ?withdraw=true takes them out of the tree.",
    ),
    ("channel_is_required", 409, "Other channels require this one; the detail names them."),
    (
        "dry_run_unsupported",
        400,
        "This operation cannot be tried with ?dry_run=true; nothing was changed.",
    ),
    (
        "body_too_slow",
        408,
        "The body stopped coming. The detail says whether what came was kept; HEAD of a resumable upload tells how much.",
    ),
    (
        "last_administrator",
        409,
        "The last administrator cannot be deleted, disabled or lose the role.",
    ),
    ("user_mapped", 409, "Certificates are mapped to the user; delete these mappings first."),
    ("certificate_mapped", 409, "The certificate has a mapping already; the detail names it."),
    ("upload_lost", 409, "The upload was given up in the meantime; send the file again."),
    (
        "upload_not_found",
        404,
        "There is no such upload: it was cancelled, it has expired, or its draft was sealed or deleted; begin a new one.",
    ),
    ("offset_mismatch", 409, "The next bytes begin at another offset; the detail says which."),
    ("upload_complete", 409, "The upload is complete: its bytes are the draft's file."),
    ("upload_incomplete", 409, "Not all bytes of the upload have come yet."),
    (
        "upload_taken_over",
        409,
        "A newer request writes to the upload, or it was ended; HEAD tells where to go on.",
    ),
    ("beyond_end", 413, "The bytes would go past the size that the upload was begun with."),
    (
        "image_quota_exceeded",
        413,
        "The image has as many bytes as uploads.image_quota allows, which the detail names.",
    ),
    (
        "checksum_mismatch",
        422,
        "The bytes do not have the checksum that came with them; nothing of them was kept.",
    ),
    ("too_many_uploads", 429, "Too many uploads of the caller are open; finish or delete some."),
    (
        "idempotency_key_reused",
        409,
        "The Idempotency-Key came with another request before, or when its caller had other rights; take a new one.",
    ),
    (
        "idempotency_unanswered",
        409,
        "The first request with this key has no answer; look whether the change was made.",
    ),
    ("revision_deleted", 410, "The revision was deleted; its number is not used again."),
    ("token_revoked", 410, "The token was revoked."),
    ("length_required", 411, "An upload has to say its length with Content-Length."),
    (
        "upload_length_required",
        411,
        "A resumable upload has to say the size of the whole file with Upload-Length.",
    ),
    ("tus_version_unsupported", 412, "The server speaks the versions of tus that Tus-Version has."),
    (
        "precondition_failed",
        412,
        "It was changed in the meantime; read it again and repeat with the new ETag.",
    ),
    ("body_too_large", 413, "A JSON body has 1 MiB at the most."),
    ("file_too_large", 413, "The file is larger than uploads.max_size, which the detail names."),
    ("json_expected", 415, "The body is JSON; say so with Content-Type: application/json."),
    (
        "raw_bytes_expected",
        415,
        "The body is the file itself, without a form around it (curl -T FILE).",
    ),
    (
        "partial_upload_expected",
        415,
        "Bytes are appended as application/partial-upload, or as tus has it with Tus-Resumable.",
    ),
    ("offset_octet_stream_expected", 415, "tus sends bytes as application/offset+octet-stream."),
    ("content_coding_refused", 415, "Files are sent as they are, without a content coding."),
    (
        "range_not_satisfiable",
        416,
        "None of the ranges is inside the file; Content-Range has its size.",
    ),
    (
        "invalid_value",
        422,
        "A field is unknown or its value is not allowed; the detail says which.",
    ),
    ("role_unknown", 422, "Images of this kind have no file in this role."),
    (
        "other_bytes",
        422,
        "A damaged file of a sealed revision is healed by the same bytes, and by no others.",
    ),
    ("digest_mismatch", 422, "Other bytes came than the digest names; nothing was kept."),
];

/// Codes that say nothing of the request: it may come again as it is.
const COME_AGAIN: [(&str, u16, &str); 11] = [
    (
        "internal",
        500,
        "Something went wrong in the server; its log says what, under the request_id.",
    ),
    ("starting", 503, "The server has only just started."),
    (
        "catalog_frozen",
        503,
        "The catalog is being moved, or has moved: nothing is changed at its old place.",
    ),
    ("job_taken", 503, "Another server does this very work and has not ended."),
    ("upload_busy", 503, "An older request still writes to the upload and does not let go."),
    (
        "issuer_away",
        503,
        "The keys of the outside issuer could not be fetched yet, or not for too long.",
    ),
    ("logins_busy", 503, "Too many log-ins at once; Retry-After says when to try again."),
    ("too_many_downloads", 503, "As many downloads as the server allows are under way."),
    ("database_unavailable", 503, "The database is busy or away; nothing was changed."),
    ("store_unavailable", 503, "The store of files does not work at the moment."),
    ("no_room", 507, "The bytes do not fit on the server's disk; nothing was changed."),
];

/// `/docs/problems`: an anchor for each code.
pub async fn page() -> HttpResponse {
    let mut rows = String::new();
    for (code, status, meaning) in CODES.iter().chain(&COME_AGAIN) {
        let _infallible = writeln!(
            rows,
            "<tr id=\"{code}\"><td><code>{code}</code></td><td>{status}</td><td>{meaning}</td></tr>"
        );
    }
    HttpResponse::Ok().content_type(ContentType::html()).body(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Problems of imagedepot</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         td,th{{text-align:left;padding:.3rem 1rem .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}}\
         tr:target{{background:#fff3c4}}</style>\n\
         <h1>Problems</h1><p>Every refusal is a problem document (RFC 9457). Its <code>code</code> never changes its \
         meaning; its <code>detail</code> says what to do about this request; its <code>request_id</code> finds its \
         line in the access log, and what the server's log says of it.</p>\n\
         <table><tr><th>code</th><th>status</th><th>meaning</th></tr>\n{rows}</table></html>\n"
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The codes that the sources give to problems.
    fn codes_in(folder: &Path, codes: &mut BTreeSet<(String, u16)>) {
        let given = regex::Regex::new(
            r#"(?:StatusCode|S)::([A-Z_]+),\s*"([a-z_]+)"|come_back\(\s*"([a-z_]+)"|unauthorised\("([a-z_]+)"|conflict\(\s*"([a-z_]+)""#,
        )
        .unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes_in(&path, codes);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for found in given.captures_iter(&text) {
                let group = (1..=5).find(|group| found.get(*group).is_some()).unwrap();
                let (status, code) = match group {
                    1 => (status_number(&found[1]), &found[2]),
                    3 => (503, &found[3]),
                    4 => (401, &found[4]),
                    _ => (409, &found[5]),
                };
                codes.insert((code.to_owned(), status));
            }
        }
    }

    fn status_number(name: &str) -> u16 {
        use actix_web::http::StatusCode as S;
        let all = (400..=599).filter_map(|number| S::from_u16(number).ok());
        let canonical = |status: &S| {
            status.canonical_reason().unwrap_or_default().to_uppercase().replace([' ', '-'], "_")
        };
        all.into_iter().find(|status| canonical(status) == name).map_or(0, |status| status.as_u16())
    }

    #[test]
    fn every_code_that_is_given_is_explained_and_no_other() {
        let mut given = BTreeSet::new();
        codes_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut given);
        let explained: BTreeSet<_> = CODES
            .iter()
            .chain(&COME_AGAIN)
            .map(|(code, status, _)| ((*code).to_owned(), *status))
            .collect();
        assert_eq!(given, explained);
    }
}
