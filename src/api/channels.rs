//! `/channels`: the rings that revisions are promoted to.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conventions::body::{JsonBody, given};
use super::conventions::caller::Caller;
use super::conventions::conditional::{Condition, Resource, Unchanged};
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::{Administer, Read};
use crate::catalog::channel::{ChannelSettings, IfInUse};
use crate::model::{Channel, ChannelName, ReadAccess, Role};

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel, example = json!(Self::sample()))]
pub struct ChannelBody {
    name: String,
    /// The folder below the tree's root; empty for the root itself.
    folder: String,
    read: ReadAccess,
    /// The number of earlier revisions that the folder keeps beside the assigned one.
    keep_old: i64,
    tree_during_rollout: bool,
    /// The roles, besides promoter and admin, that may promote to this channel.
    promoters: Vec<Role>,
    #[schema(required = true)]
    requires_channel: Option<String>,
    approvals: i64,
    /// A number that increases with every change of what the channel offers.
    sequence: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ChannelBody {
    fn sample() -> Self {
        Self {
            name: "test".to_owned(),
            folder: "test".to_owned(),
            read: ReadAccess::Everyone,
            keep_old: 1,
            tree_during_rollout: false,
            promoters: vec![Role::Publisher],
            requires_channel: None,
            approvals: 0,
            sequence: 4,
            created_at: sample::time("2026-01-05T09:30:00Z"),
            updated_at: sample::time("2026-01-05T09:30:00Z"),
        }
    }
}

impl From<&Channel> for ChannelBody {
    fn from(channel: &Channel) -> Self {
        Self {
            name: channel.name.to_string(),
            folder: channel.folder.clone(),
            read: channel.read_access,
            keep_old: channel.keep_old,
            tree_during_rollout: channel.tree_during_rollout,
            promoters: channel.promoters.clone(),
            requires_channel: channel.requires_channel.as_ref().map(ToString::to_string),
            approvals: channel.approvals,
            sequence: channel.sequence,
            created_at: channel.created_at,
            updated_at: channel.updated_at,
        }
    }
}

/// A new channel; omitted fields get their defaults.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChannelToCreate, example = json!({"name": "pilot", "promoters": ["publisher"], "requires_channel": "test"}))]
pub struct NewChannel {
    /// 1 to 40 letters, digits, `.`, `_` or `-`; unique without regard to case, and no Windows device name.
    #[schema(value_type = String, format = "channel-name")]
    name: ChannelName,
    /// One plain folder below the tree's root, or empty for the root; the channel's name if omitted.
    #[serde(default)]
    folder: Option<String>,
    #[serde(default)]
    read: Option<ReadAccess>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1000)]
    keep_old: Option<i64>,
    #[serde(default)]
    tree_during_rollout: Option<bool>,
    #[serde(default)]
    promoters: Option<Vec<Role>>,
    /// A channel that a revision must have been assigned to before it may be promoted to this one.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "channel-name")]
    requires_channel: Option<ChannelName>,
    /// The number of people, besides the first, who must agree to a promotion.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10)]
    approvals: Option<i64>,
}

impl NewChannel {
    // serde cannot flatten `ChannelWords` into this type and refuse unknown fields as well.
    fn into_parts(self) -> (ChannelName, ChannelWords) {
        let words = ChannelWords {
            folder: self.folder,
            read: self.read,
            keep_old: self.keep_old,
            tree_during_rollout: self.tree_during_rollout,
            promoters: self.promoters,
            requires_channel: Some(self.requires_channel),
            approvals: self.approvals,
        };
        (self.name, words)
    }
}

/// The changes to a channel; omitted fields stay as they are.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"read": "authenticated", "keep_old": 2}))]
pub struct ChannelWords {
    /// One plain folder below the tree's root, or empty for the root.
    #[serde(default)]
    folder: Option<String>,
    #[serde(default)]
    read: Option<ReadAccess>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1000)]
    keep_old: Option<i64>,
    #[serde(default)]
    tree_during_rollout: Option<bool>,
    #[serde(default)]
    promoters: Option<Vec<Role>>,
    /// A channel that a revision must have been assigned to before it may be promoted to this one; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "channel-name")]
    requires_channel: Option<Option<ChannelName>>,
    /// The number of people, besides the first, who must agree to a promotion.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10)]
    approvals: Option<i64>,
}

impl TryFrom<ChannelWords> for ChannelSettings {
    type Error = Problem;

    fn try_from(words: ChannelWords) -> Result<Self, Problem> {
        Ok(Self {
            folder: words.folder,
            read: words.read,
            keep_old: words.keep_old,
            tree_during_rollout: words.tree_during_rollout,
            promoters: words.promoters,
            requires_channel: words.requires_channel,
            approvals: words.approvals,
        })
    }
}

/// The query parameters of a channel's deletion.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// Take the images that are promoted to the channel out of the tree; without it, they make the call fail.
    #[serde(default)]
    #[param(default = false)]
    withdraw: bool,
}

impl DeleteQuery {
    fn if_in_use(&self) -> IfInUse {
        if self.withdraw { IfInUse::Withdraw } else { IfInUse::Refuse }
    }
}

/// List channels
#[utoipa::path(tag = "channels", operation_id = "list_channels", description = "Returns the channels, sorted by name.",
    params(PageQuery), responses((status = 200, description = "The channels", body = Page<ChannelBody>), ReadRefusals)
)]
#[get("/channels")]
pub async fn list(
    _caller: Caller<Read>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
) -> Result<Page<ChannelBody>, Problem> {
    let channels = depot.catalog.channels().await?;
    page.page_of(channels, |channel| channel.name.key(), |channel| ChannelBody::from(&channel))
}

/// Create a channel
///
/// A channel publishes to a folder of its own name below the tree's root, unless `folder` says otherwise.
#[utoipa::path(tag = "channels", operation_id = "create_channel", request_body = NewChannel, responses(
    (status = 201, description = "The channel", body = ChannelBody), ChangeRefusals
))]
#[post("/channels")]
pub async fn create(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    new: JsonBody<NewChannel>,
) -> Result<Resource<ChannelBody>, Problem> {
    caller.sees_all_images()?;
    let (name, words) = new.read()?.into_parts();
    let channel = depot.catalog.create_channel(&caller.actor(), name, words.try_into()?).await?;
    Ok(Resource::created(
        channel.tag(),
        format!("/api/v1/channels/{}", channel.name),
        (&channel).into(),
    ))
}

/// Show a channel
#[utoipa::path(tag = "channels", operation_id = "get_channel",
    description = "Returns the channel, with an `ETag` for conditional changes.",
    params(("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, description = "The channel", body = ChannelBody), Unchanged, ReadRefusals)
)]
#[get("/channels/{channel}")]
pub async fn show(
    _caller: Caller<Read>,
    depot: Data<Depot>,
    name: Path<ChannelName>,
) -> Result<Resource<ChannelBody>, Problem> {
    let channel = depot.catalog.channel(&name).await?;
    Ok(Resource::tagged(channel.tag(), (&channel).into()))
}

/// Change a channel
///
/// Changes the given fields. If the folder changes, the new one is filled before the old one is emptied. Honours
/// `If-Match`.
#[utoipa::path(tag = "channels", operation_id = "change_channel", request_body = ChannelWords,
    params(("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, description = "The changed channel", body = ChannelBody), ChangeRefusals)
)]
#[patch("/channels/{channel}")]
pub async fn change(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<ChannelName>,
    condition: Condition,
    words: JsonBody<ChannelWords>,
) -> Result<Resource<ChannelBody>, Problem> {
    caller.sees_all_images()?;
    let settings = words.read()?.try_into()?;
    let channel =
        depot.catalog.change_channel(&caller.actor(), &name, settings, &condition.0).await?;
    Ok(Resource::tagged(channel.tag(), (&channel).into()))
}

/// Delete a channel
///
/// Refused while images are promoted to the channel, unless `withdraw=true` takes them out of the tree.
#[utoipa::path(tag = "channels", operation_id = "delete_channel",
    params(("channel" = String, Path, description = "The channel's name"), DeleteQuery),
    responses((status = 204, description = "The channel is deleted"), ChangeRefusals)
)]
#[delete("/channels/{channel}")]
pub async fn delete(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<ChannelName>,
    condition: Condition,
    query: Query<DeleteQuery>,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    depot.catalog.delete_channel(&caller.actor(), &name, &condition.0, query.if_in_use()).await?;
    Ok(HttpResponse::NoContent().finish())
}
