//! Names what the server does not have, with the name that may have been meant, of those that the caller may list.

use serde::Deserialize;

use super::connection::Connection;
use super::error::Failure;
use super::nearest::absent;

/// As many as a page has at most; who has more is offered one of them or none.
const NAMES: &str = "500";

#[derive(Deserialize)]
struct Names {
    items: Vec<Name>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// A refusal that says that there is no such image or channel, in words that have the name; another one as it is.
pub async fn named(
    connection: &Connection,
    failure: Failure,
    image: &str,
    channel: Option<&str>,
) -> Failure {
    let (what, name, list) = match (failure.code(), channel) {
        (Some("image_not_found"), _) => ("image", image, "images"),
        (Some("channel_not_found"), Some(channel)) => ("channel", channel, "channels"),
        _ => return failure,
    };
    // Who may list nothing is offered nothing.
    let known = names(connection, list).await.unwrap_or_default();
    failure.said_as(absent(what, name, known))
}

async fn names(connection: &Connection, list: &str) -> Result<Vec<String>, Failure> {
    let mut address = connection.api(&[list])?;
    address.query_pairs_mut().append_pair("limit", NAMES);
    let page: Names = connection.get(address).await?;
    Ok(page.items.into_iter().map(|item| item.name).collect())
}
