//! Reports names that the server does not have, and suggests the closest name among those that the caller may list.

use serde::Deserialize;

use super::connection::Connection;
use super::error::Failure;
use super::nearest::absent;

/// The largest page that the API allows. With more names than that, the closest one may be missed.
const NAMES: &str = "500";

#[derive(Deserialize)]
struct Names {
    items: Vec<Name>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// Rewords a refusal for a missing image or channel so that it contains the name. Any other refusal stays the same.
pub async fn named(
    connection: &Connection,
    failure: Failure,
    image: &str,
    channel: Option<&str>,
) -> Failure {
    match (failure.code(), channel) {
        (Some("image_not_found"), _) => told(connection, failure, "image", image, "images").await,
        (Some("channel_not_found"), Some(channel)) => {
            told(connection, failure, "channel", channel, "channels").await
        }
        _ => failure,
    }
}

/// Rewords a refusal for a missing user, as [`named`] does.
pub async fn user(connection: &Connection, failure: Failure, name: &str) -> Failure {
    match failure.code() {
        Some("user_not_found") => told(connection, failure, "user", name, "users").await,
        _ => failure,
    }
}

/// Rewords a refusal for a missing certificate mapping, as [`named`] does.
pub async fn certificate_mapping(connection: &Connection, failure: Failure, name: &str) -> Failure {
    let (what, list) = ("certificate mapping", "certificate-mappings");
    match failure.code() {
        Some("certificate_mapping_not_found") => told(connection, failure, what, name, list).await,
        _ => failure,
    }
}

async fn told(
    connection: &Connection,
    failure: Failure,
    what: &str,
    name: &str,
    list: &str,
) -> Failure {
    // A caller who may not list anything gets no suggestion.
    let known = names(connection, list).await.unwrap_or_default();
    failure.with_message(absent(what, name, known))
}

async fn names(connection: &Connection, list: &str) -> Result<Vec<String>, Failure> {
    let mut address = connection.api(&[list])?;
    address.query_pairs_mut().append_pair("limit", NAMES);
    let page: Names = connection.get(address).await?;
    Ok(page.items.into_iter().map(|item| item.name).collect())
}
