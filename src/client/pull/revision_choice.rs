//! The choice of a revision on the command line: the update check answers for a channel, the revision itself for a number.

use serde::Deserialize;

use super::super::absent;
use super::super::connection::Connection;
use super::super::exit_code::Exit;
use super::fetch_plan::{FetchPlan, PlannedFile, digest, plain};
use super::update_check::{Asked, ask, offered, this_client};
use crate::client::error::Failure;
use crate::model::ClientId;

/// The choice of a revision: the one a channel offers, or a number.
#[derive(Debug, Clone, clap::Args)]
pub struct RevisionChoice {
    /// Name of the image
    #[arg(value_name = "NAME")]
    pub image: String,

    /// Take the revision that this channel offers
    #[arg(long, value_name = "CHANNEL", default_value = "production", conflicts_with = "revision")]
    pub channel: String,

    /// Take this revision, whatever the channels say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub revision: Option<u64>,

    #[arg(
        long,
        value_name = "ID",
        conflicts_with = "revision",
        help = "Id of this client; a rollout offers its revision to some clients before others \
                [env: IMAGEDEPOT_CLIENT] [default: this machine's name]"
    )]
    pub client: Option<ClientId>,
}

impl RevisionChoice {
    pub async fn plan(&self, connection: &Connection) -> Result<FetchPlan, Failure> {
        let found = match self.revision {
            Some(number) => by_number(connection, &self.image, number).await,
            None => {
                offered(connection, self.asked(this_client(self.client.as_ref())?.as_ref())).await
            }
        };
        match found {
            Err(failure) => {
                Err(absent::named(connection, failure, &self.image, Some(&self.channel)).await)
            }
            found => found,
        }
    }
}

impl RevisionChoice {
    const fn asked<'a>(&'a self, client: Option<&'a ClientId>) -> Asked<'a> {
        Asked { image: self.image.as_str(), channel: self.channel.as_str(), client, group: None }
    }

    /// Adds the deltas from the revision `current`, which is here, to what the channel offers. If that cannot be found
    /// out, there are none.
    pub async fn add_deltas(&self, connection: &Connection, plan: &mut FetchPlan, current: u64) {
        let Ok(client) = this_client(self.client.as_ref()) else { return };
        let asked = self.asked(client.as_ref());
        let Ok(answer) = ask(connection, asked, Some(current)).await else { return };
        for file in answer.target.into_iter().flat_map(|target| target.files) {
            let is_same = |planned: &&mut PlannedFile| {
                (&planned.role, planned.digest) == (&file.role, file.digest)
            };
            if let Some(planned) = plan.files.iter_mut().find(is_same) {
                planned.deltas.extend(file.deltas);
            }
        }
    }
}

#[derive(Debug, Deserialize)]
struct Image {
    name: String,
    extension: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Revision {
    state: String,
    files: Vec<RevisionFile>,
}

#[derive(Debug, Deserialize)]
struct RevisionFile {
    role: String,
    size: u64,
    digest: String,
}

/// Returns revision `number` from the API: it need not be in any channel's tree.
///
/// The files are named by the tree's default pattern. The server's own pattern is not used: it governs the tree, and
/// these files do not come from there.
pub async fn by_number(
    connection: &Connection,
    image: &str,
    number: u64,
) -> Result<FetchPlan, Failure> {
    let image: Image = connection.get(connection.api(&["images", image])?).await?;
    let digits = number.to_string();
    let address = ["images", &image.name, "revisions", &digits];
    let revision: Revision = connection.get(connection.api(&address)?).await?;
    if revision.state == "draft" {
        let unfinished = format!("{} revision {number} is still a draft", image.name);
        return Err(Failure::new(Exit::Conflict, unfinished));
    }
    let mut files = Vec::new();
    for file in revision.files {
        let extension = match file.role.as_str() {
            "ckm" => "ckm",
            "index" => "ckm.index",
            _ => image.extension.as_deref().unwrap_or("img"),
        };
        let name = format!("{}_{number}.{extension}", image.name);
        let url = connection.api(&[&address[..], &["files", &file.role]].concat())?;
        let digest = digest(&file.digest)?;
        files.push(PlannedFile::whole(file.role, plain(name)?, url, file.size, digest));
    }
    FetchPlan::new(image.name, number, revision.state == "ready", files)
}
