//! The signed metadata of the tree over HTTP: `/MEDVImages/tuf/…` and `/trust/root.json`.
//!
//! The files in force come from the snapshot, so that they are there while the database is not. Older ones, which
//! readers in the middle of a walk still ask for, come from the catalog. A file that does not exist is 404 and nothing
//! else: TUF's clients end their walk along the roots with it.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};

use super::conventions::caching;
use super::conventions::caller::Visitor;
use super::conventions::file_response::{self, ContentIdentity, ServedFile};
use super::conventions::problem::{Problem, ReadRefusals};
use super::depot::Depot;
use crate::catalog::Snapshot;
use crate::catalog::publication::signed_files::{has_signed_files, served_as};
use crate::catalog::trust::files::TrustFile;
use crate::model::ReadAccess;
use crate::model::publication::CACHE_FOR_A_MOMENT;
use crate::storage::blobs::BlobReader;
use crate::trust::role::{FOLDER, FileName, RoleName};

/// Returns the file of the metadata that a path of the tree names; none for any other path.
pub fn named(snapshot: &Snapshot, path: &str) -> Option<FileName> {
    let (folder, name) = path.split_once('/')?;
    if !folder.eq_ignore_ascii_case(FOLDER) || !has_signed_files(snapshot) {
        return None;
    }
    name.to_ascii_lowercase().parse().ok()
}

/// Answers a GET or HEAD of a file of the metadata.
pub async fn serve(
    visitor: &Visitor,
    depot: &Depot,
    name: FileName,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let access = read_access(&depot.catalog.snapshot(), name);
    visitor.may_read_all(access)?;
    let file = depot.catalog.trust_file(name).await?.ok_or_else(Problem::not_found)?;
    let cache_control = caching::of_channel(access, served_as(name).cache_control);
    file_response::respond(request, served(file, cache_control)).await
}

/// Returns who may read a file. The bins name every image, so they are as closed as the most closed channel.
fn read_access(snapshot: &Snapshot, name: FileName) -> ReadAccess {
    let is_bin = matches!(name, FileName::Versioned(RoleName::Bin(_), _));
    let mut channels = snapshot.channels();
    if is_bin && channels.any(|offer| offer.channel.read_access != ReadAccess::Everyone) {
        ReadAccess::Authenticated
    } else {
        ReadAccess::Everyone
    }
}

fn served(file: TrustFile, cache_control: &'static str) -> ServedFile {
    ServedFile {
        reader: BlobReader::bytes(file.content),
        identity: ContentIdentity::Bytes(file.digest),
        // Two timestamps may have been signed within a second.
        last_modified: None,
        content_type: "application/json".into(),
        cache_control,
    }
}

/// Show the root of trust
///
/// Returns the newest root of The Update Framework: the file that a client has to trust before it can verify the tree.
/// Compare it with a copy that reached you another way before you trust it.
#[utoipa::path(tag = "access", operation_id = "trust_root", security(()), responses(
    (
        status = 200, description = "The root, as it was signed", content_type = "application/json",
        body = serde_json::Value, example = json!({
            "signatures": [{"keyid": "4f…", "sig": "0a…"}],
            "signed": {"_type": "root", "version": 1, "expires": "2027-01-05T09:30:00Z"},
        })
    ),
    ReadRefusals
))]
#[get("/trust/root.json")]
pub async fn root(depot: Data<Depot>) -> Result<HttpResponse, Problem> {
    let snapshot = depot.catalog.snapshot();
    let root = snapshot.trust.in_force(RoleName::Root).ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, CACHE_FOR_A_MOMENT))
        .body(root.content.clone()))
}
