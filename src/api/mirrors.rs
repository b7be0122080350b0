//! `/mirrors`: the copies of channels at other sites, and how far each of them is.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, delete, get, put};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conventions::body::JsonBody;
use super::conventions::caller::Caller;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, InvalidQuery, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::{Administer, BeKnown, Read};
use crate::catalog::Error;
use crate::catalog::fleet::mirrors::{MirrorReport, MirrorState};
use crate::model::mirror::MirroredChannel;
use crate::model::{ChannelName, IdPattern, MirrorKind, MirrorName};

/// A mirror, as it told last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Mirror, example = json!(Self::sample()))]
pub struct MirrorBody {
    name: String,
    kind: MirrorKind,
    /// The version of the mirror's program; null if it told none.
    #[schema(required = true)]
    version: Option<String>,
    channels: Vec<ChannelOfMirror>,
    /// The bytes that it holds, of all channels together.
    bytes: i64,
    /// The bytes that it still has to fetch.
    bytes_missing: i64,
    /// The error that it told; null if there is none.
    #[schema(required = true)]
    error: Option<String>,
    /// The caller that told this.
    reported_by: String,
    reported_at: DateTime<Utc>,
}

/// A channel that a mirror holds, and the channel itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MirroredChannel)]
pub struct ChannelOfMirror {
    channel: String,
    /// The `sequence` of the `channel.json` that the mirror has.
    sequence: i64,
    /// The `sequence` that `channel.json` has now; null if there is no such channel.
    #[schema(required = true)]
    channel_sequence: Option<i64>,
    /// True if the two are the same.
    is_current: bool,
    /// The time of the last report at which they were the same; null if they never were.
    #[schema(required = true)]
    current_at: Option<DateTime<Utc>>,
}

impl MirrorBody {
    fn sample() -> Self {
        Self {
            name: "berlin".to_owned(),
            kind: MirrorKind::Copy,
            version: Some("0.1.0".to_owned()),
            channels: vec![ChannelOfMirror {
                channel: "production".to_owned(),
                sequence: 41,
                channel_sequence: Some(42),
                is_current: false,
                current_at: Some(sample::time("2026-01-12T14:02:31Z")),
            }],
            bytes: 21_474_836_480,
            bytes_missing: 104_857_600,
            error: None,
            reported_by: "token:mirrors".to_owned(),
            reported_at: sample::time("2026-01-12T14:03:31Z"),
        }
    }
}

impl From<MirrorState> for MirrorBody {
    fn from(MirrorState { mirror, sequences }: MirrorState) -> Self {
        Self {
            name: mirror.name.to_string(),
            kind: mirror.kind,
            version: mirror.version,
            channels: mirror.channels.into_iter().zip(sequences).map(Into::into).collect(),
            bytes: mirror.bytes,
            bytes_missing: mirror.bytes_missing,
            error: mirror.error,
            reported_by: mirror.reported_by,
            reported_at: mirror.reported_at,
        }
    }
}

impl From<(MirroredChannel, Option<i64>)> for ChannelOfMirror {
    fn from((told, channel_sequence): (MirroredChannel, Option<i64>)) -> Self {
        Self {
            channel: told.channel.to_string(),
            sequence: told.sequence,
            channel_sequence,
            is_current: channel_sequence == Some(told.sequence),
            current_at: told.current_at,
        }
    }
}

/// A mirror's report.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MirrorReport, example = json!({"version": "0.1.0", "kind": "copy", "channels": [{"channel": "production", "sequence": 42}], "bytes": 21_474_836_480_i64}))]
pub struct NewMirror {
    /// The version of the mirror's program.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    version: Option<String>,
    kind: MirrorKind,
    /// The channels that it holds, each once. They need not exist.
    #[schema(max_items = 100)]
    channels: Vec<HeldChannel>,
    /// The bytes that it holds, of all channels together.
    #[schema(minimum = 0, maximum = 4_503_599_627_370_496_i64)]
    bytes: i64,
    /// The bytes that it still has to fetch.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 4_503_599_627_370_496_i64)]
    bytes_missing: i64,
    /// The reason why it does not go on. Control characters become spaces; what is beyond 1,000 characters is cut off.
    #[serde(default)]
    error: Option<String>,
}

/// A channel that a mirror holds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldChannel {
    #[schema(value_type = String, format = "channel-name")]
    channel: ChannelName,
    /// The `sequence` of the `channel.json` that the mirror has.
    #[schema(minimum = 0, maximum = 4_503_599_627_370_496_i64)]
    sequence: i64,
}

impl NewMirror {
    fn report(self, name: MirrorName) -> MirrorReport {
        let held = |held: HeldChannel| (held.channel, held.sequence);
        MirrorReport {
            name,
            kind: self.kind,
            version: self.version,
            channels: self.channels.into_iter().map(held).collect(),
            bytes: self.bytes,
            bytes_missing: self.bytes_missing,
            error: self.error,
        }
    }
}

/// The condition of a list of mirrors.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MirrorQuery {
    /// The mirror's name, with `*` for any run of characters.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9._*-]{1,64}$", max_length = 64, example = "site-*")]
    q: Option<IdPattern>,
}

/// List mirrors
///
/// Returns what each mirror told last, sorted by name, and what its channels have now.
#[utoipa::path(tag = "mirrors", operation_id = "list_mirrors", params(MirrorQuery, PageQuery), responses(
    (status = 200, description = "A page of mirrors", body = Page<MirrorBody>), InvalidQuery, ReadRefusals
))]
#[get("/mirrors")]
pub async fn list(
    caller: Caller<Read>,
    depot: Data<Depot>,
    query: Query<MirrorQuery>,
    page: Query<PageQuery>,
) -> Result<Page<MirrorBody>, Problem> {
    caller.sees_all_images()?;
    let after = page.position::<String>()?.unwrap_or_default();
    let found = depot.catalog.mirrors(query.q.as_ref(), &after, page.fetch()?).await?;
    page.page(found, |state| state.mirror.name.key(), Into::into)
}

/// Tell what a mirror has
///
/// Records what the mirror has, in place of what it told before. The response is sent when that is durable. A channel
/// that does not exist is recorded, too, because it may have been deleted. Mirrors tell this after
/// each change, and every ten minutes.
#[utoipa::path(tag = "mirrors", operation_id = "put_mirror", request_body = NewMirror,
    params(("name" = String, Path, description = "The mirror's name")),
    responses((status = 200, description = "The mirror, which was known", body = MirrorBody),
        (status = 201, description = "The new mirror", body = MirrorBody), ChangeRefusals)
)]
#[put("/mirrors/{name}")]
pub async fn put(
    caller: Caller<BeKnown>,
    depot: Data<Depot>,
    name: Path<String>,
    new: JsonBody<NewMirror>,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    // Whoever makes up a name has to be told what is wrong with it, and not that there is nothing.
    let name: MirrorName = name.parse().map_err(Error::from)?;
    let report = new.read()?.report(name);
    let (state, is_new) = depot.catalog.record_mirror(&caller.actor(), report).await?;
    let mut response = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(MirrorBody::from(state)))
}

/// Delete a mirror from the record
///
/// The mirror is on record again after its next report.
#[utoipa::path(tag = "mirrors", operation_id = "delete_mirror",
    params(("name" = String, Path, description = "The mirror's name")),
    responses((status = 204, description = "The mirror is deleted from the record"), ChangeRefusals)
)]
#[delete("/mirrors/{name}")]
pub async fn delete(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<MirrorName>,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    depot.catalog.delete_mirror(&caller.actor(), &name).await?;
    Ok(HttpResponse::NoContent().finish())
}
