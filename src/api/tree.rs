//! `/MEDVImages/…`: the tree over HTTP, for BITS and any other client that fetches files.
//!
//! Names come from the snapshot and bytes from the blobs; the folder on disk may not be up to date yet. Nothing else is
//! reachable: no path of a request is ever used on the file system.

pub mod redirect;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, TimeDelta, Utc};

use super::conventions::caching;
use super::conventions::caller::Visitor;
use super::conventions::file_response::{self, ContentIdentity, ServedFile};
use super::conventions::limits::LimitedBody;
use super::conventions::problem::{Code, Problem};
use super::depot::Depot;
use super::trust;
use crate::catalog::Error;
use crate::catalog::snapshot::{ChannelOffer, TreeEntry, TreeFile, WrittenDocument};
use crate::model::publication::CACHE_IMMUTABLE;
use crate::storage::blobs::BlobReader;

/// Answers a GET or HEAD.
pub async fn serve(
    visitor: Visitor,
    depot: Data<Depot>,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let snapshot = depot.catalog.snapshot();
    let Some(entry) = snapshot.tree_entry(&path).cloned() else {
        // A caller who may not read a folder must not learn which names it does not contain.
        if let Some(access) = snapshot.read_access_of_folder(&path) {
            visitor.may_enter(access)?;
        }
        let named = trust::named(&snapshot, &path);
        drop(snapshot);
        let name = named.ok_or_else(Problem::not_found)?;
        return trust::serve(&visitor, &depot, name, &request).await;
    };
    let entry = match entry {
        TreeEntry::Document(channel, written) => {
            let shown = snapshot.shown(&channel.channel.folder, &written).clone();
            TreeEntry::Document(channel, shown)
        }
        other => other,
    };
    drop(snapshot);
    match entry {
        TreeEntry::Document(channel, written) => {
            visitor.may_read_all(channel.channel.read_access)?;
            let now = depot.catalog.clock().now();
            file_response::respond(&request, document(&channel, written, now)).await
        }
        TreeEntry::Revoked(name) => {
            visitor.may_read(name.read_access, &name.image)?;
            let detail = format!("revision {} of {} was revoked", name.revision, name.image);
            Err(Problem::new(Code::RevisionRevoked, detail))
        }
        TreeEntry::File(file) => {
            visitor.may_read(file.read_access, &file.image)?;
            let mut served = opened(&depot, &file).await?;
            if let Some(redirects) = &depot.redirects {
                served = redirects.as_stored(&depot.catalog, &file, served).await?;
                let there = redirects.elsewhere(&depot.catalog, &file, &served, &request).await?;
                if let Some(elsewhere) = there {
                    return Ok(elsewhere);
                }
            }
            if file_response::is_known(&request, &served) {
                return file_response::respond(&request, served).await;
            }
            let permit = depot.download_limits.admit(&request)?;
            let response = file_response::respond(&request, served).await?;
            Ok(response.map_body(|_, body| LimitedBody::new(body, permit)).map_into_boxed_body())
        }
    }
}

async fn opened(depot: &Depot, file: &TreeFile) -> Result<ServedFile, Problem> {
    let reader =
        depot.catalog.blobs().reader(&file.blob_key, file.size).await.map_err(Error::from)?;
    Ok(ServedFile {
        reader,
        identity: ContentIdentity::Bytes(file.digest),
        last_modified: Some(file.sealed_at),
        content_type: "application/octet-stream".into(),
        cache_control: caching::of_channel(file.read_access, CACHE_IMMUTABLE),
    })
}

fn document(channel: &ChannelOffer, written: WrittenDocument, now: DateTime<Utc>) -> ServedFile {
    let date = channel.channel.issued_at;
    // A document that waits to be signed elsewhere is older than the channel, and the next one will have that date.
    let is_newest = channel.documents.iter().any(|newest| newest.digest == written.digest);
    ServedFile {
        reader: BlobReader::bytes(written.content),
        identity: ContentIdentity::Bytes(written.digest),
        // The server's `Date` may be a second behind the clock, and no date may be later than it (RFC 9110 section
        // 8.8.2.1).
        last_modified: (is_newest && date + TimeDelta::seconds(1) <= now).then_some(date),
        content_type: written.document.served_as().content_type.into(),
        cache_control: caching::of_channel(
            channel.channel.read_access,
            written.document.served_as().cache_control,
        ),
    }
}
