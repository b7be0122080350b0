//! A revision that this push fills: opened, read, compared, sealed, deleted.

use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::super::connection::{Connection, name_in_location};
use super::super::exit_code::Exit;
use super::sent::Sent;
use crate::client::error::Failure;

/// One revision of one image, on one server.
#[derive(Debug)]
pub struct Draft<'a> {
    connection: &'a Connection,
    image: &'a str,
    number: u64,
}

/// The fields of a revision that the client reads.
#[derive(Debug, Deserialize)]
pub struct Revision {
    state: String,
    files: Vec<StoredFile>,
}

#[derive(Debug, Deserialize)]
pub struct StoredFile {
    pub role: String,
    pub size: u64,
    pub digest: String,
}

impl<'a> Draft<'a> {
    pub async fn open(connection: &'a Connection, image: &'a str) -> Result<Self, Failure> {
        let drafts = connection.api(&["images", image, "revisions"])?;
        let response = connection.post(drafts, None).await?;
        let number = name_in_location(&response)?
            .parse()
            .map_err(|error| Failure::unreadable("number of the new draft", error))?;
        Ok(Self::numbered(connection, image, number))
    }

    pub const fn numbered(connection: &'a Connection, image: &'a str, number: u64) -> Self {
        Self { connection, image, number }
    }

    pub const fn connection(&self) -> &Connection {
        self.connection
    }

    pub const fn image(&self) -> &str {
        self.image
    }

    pub const fn number(&self) -> u64 {
        self.number
    }

    pub async fn look(&self) -> Result<Revision, Failure> {
        self.connection.get(self.address(&[])?).await
    }

    pub async fn note(&self, notes: &str) -> Result<(), Failure> {
        self.connection.patch(self.address(&[])?, &json!({ "notes": notes })).await?;
        Ok(())
    }

    pub async fn seal(&self) -> Result<(), Failure> {
        self.connection.post(self.address(&["seal"])?, None).await?;
        Ok(())
    }

    /// Deletes the draft, without retries. A revision that somebody else has sealed meanwhile is left alone.
    pub async fn delete(&self) -> Result<(), Failure> {
        if !self.look().await?.is_draft() {
            return Ok(());
        }
        self.connection.delete_once(self.address(&[])?).await
    }

    fn address(&self, more: &[&str]) -> Result<Url, Failure> {
        let number = self.number.to_string();
        self.connection.api(&[&["images", self.image, "revisions", &number], more].concat())
    }
}

impl Revision {
    pub fn is_draft(&self) -> bool {
        self.state == "draft"
    }

    pub fn is_sealed(&self) -> bool {
        self.state == "ready"
    }

    /// Reports whether the revision has a complete file of this role and size.
    pub fn holds(&self, role: &str, size: u64) -> bool {
        self.files.iter().any(|file| file.role == role && file.size == size)
    }

    /// Checks end to end that the server stored what was read here.
    pub fn must_hold(&self, sent: &[Sent]) -> Result<(), Failure> {
        for file in sent {
            let arrived = self.files.iter().find(|arrived| arrived.role == file.role);
            if !arrived.is_some_and(|arrived| {
                arrived.size == file.size && arrived.digest == file.digest.to_string()
            }) {
                let got = arrived.map_or("nothing", |arrived| &arrived.digest);
                return Err(Failure::new(
                    Exit::Verification,
                    format!(
                        "the server received other bytes of the {}: sent {}, received {got}",
                        file.role, file.digest
                    ),
                ));
            }
        }
        Ok(())
    }
}
