//! Reports a name that the catalog does not have, with the name that may have been meant.

use std::fmt::Display;

use crate::catalog::{Catalog, Error};
use crate::client::nearest::absent;
use crate::client::{Exit, Failure};

/// Converts an error about something missing to one that names it; any other error stays as it is.
pub(super) async fn named(catalog: &Catalog, error: Error, name: &impl Display) -> anyhow::Error {
    let (what, code, known) = match &error {
        Error::ImageNotFound => ("image", "image_not_found", images(catalog).await),
        Error::ChannelNotFound => ("channel", "channel_not_found", channels(catalog).await),
        Error::AccountNotFound => ("user", "user_not_found", users(catalog).await),
        Error::CertificateMappingNotFound => {
            ("certificate mapping", "certificate_mapping_not_found", mappings(catalog).await)
        }
        _ => return error.into(),
    };
    // If the known names cannot be read, the message still says which one is missing.
    let known = known.unwrap_or_default();
    let message = absent(what, &name.to_string(), known);
    Failure::new(Exit::NotFound, message).with_code(code).into()
}

async fn images(catalog: &Catalog) -> Result<Vec<String>, Error> {
    Ok(catalog.images("", i64::MAX).await?.into_iter().map(|one| one.name.to_string()).collect())
}

async fn channels(catalog: &Catalog) -> Result<Vec<String>, Error> {
    Ok(catalog.channels().await?.into_iter().map(|one| one.name.to_string()).collect())
}

async fn users(catalog: &Catalog) -> Result<Vec<String>, Error> {
    Ok(catalog.accounts("", i64::MAX).await?.into_iter().map(|one| one.name.to_string()).collect())
}

async fn mappings(catalog: &Catalog) -> Result<Vec<String>, Error> {
    let known = catalog.certificate_mappings((-1, ""), i64::MAX).await?;
    Ok(known.into_iter().map(|one| one.name.to_string()).collect())
}
