//! Determines what to fetch: the update check answers for a channel, the revision itself for a number.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use super::super::absent;
use super::super::connection::Connection;
use super::super::exit_code::Exit;
use crate::client::error::Failure;
use crate::client::trust::channel::{Offer, SignedFile};
use crate::client::trust::tree::SignedTree;
use crate::model::{ClientId, Digest};

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
    /// Returns the client id: the machine's name by default. A name that is not a valid id is not sent.
    fn client(&self) -> Result<Option<ClientId>, Failure> {
        if let Some(client) = &self.client {
            return Ok(Some(client.clone()));
        }
        let named = std::env::var("IMAGEDEPOT_CLIENT").ok().filter(|named| !named.is_empty());
        if let Some(named) = named {
            let wrong = |error| Failure::usage(format!("IMAGEDEPOT_CLIENT: {error}"));
            return named.parse().map(Some).map_err(wrong);
        }
        let system = rustix::system::uname();
        Ok(system.nodename().to_str().ok().and_then(|name| name.parse().ok()))
    }

    pub async fn plan(&self, connection: &Connection) -> Result<FetchPlan, Failure> {
        let found = match self.revision {
            Some(number) => by_number(connection, &self.image, number).await,
            None => offered(connection, self.asked(self.client()?.as_ref())).await,
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
        Asked { image: self.image.as_str(), channel: self.channel.as_str(), client }
    }

    /// Adds the deltas from the revision `current`, which is here, to what the channel offers. If that cannot be found
    /// out, there are none.
    pub async fn add_deltas(&self, connection: &Connection, plan: &mut FetchPlan, current: u64) {
        let Ok(client) = self.client() else { return };
        let asked = self.asked(client.as_ref());
        let Ok(check) = ask(connection, asked, Some(current)).await else { return };
        for file in check.target.into_iter().flat_map(|target| target.files) {
            let same = plan.files.iter_mut().find(|planned| {
                planned.role == file.role && file.digest == planned.digest.to_string()
            });
            if let (Some(planned), Some(delta)) = (same, file.delta) {
                planned.deltas.extend(delta.planned(connection).ok());
            }
        }
    }
}

/// The files to fetch of one revision, the index last.
#[derive(Debug)]
pub struct FetchPlan {
    pub image: String,
    pub revision: u64,
    /// Set if new clients may get it. A revoked or damaged revision can still be fetched.
    pub is_ready: bool,
    pub files: Vec<PlannedFile>,
}

/// One file to fetch, and the size and digest to verify it with.
#[derive(Debug)]
pub struct PlannedFile {
    pub role: String,
    /// A plain name that is safe to join to a folder.
    pub name: String,
    pub url: Url,
    pub size: u64,
    pub digest: Digest,
    /// The chunk list, if there is one.
    pub chunks: Option<Url>,
    pub deltas: Vec<PlannedDelta>,
}

/// A delta to the file, and the size and digest to verify it with.
#[derive(Debug, Clone)]
pub struct PlannedDelta {
    /// The revision that it starts from.
    pub from: u64,
    pub url: Url,
    pub size: u64,
    pub digest: Digest,
}

impl PlannedFile {
    /// A file that is fetched whole.
    pub const fn whole(role: String, name: String, url: Url, size: u64, digest: Digest) -> Self {
        Self { role, name, url, size, digest, chunks: None, deltas: Vec::new() }
    }
}

impl FetchPlan {
    fn new(
        image: String,
        revision: u64,
        is_ready: bool,
        mut files: Vec<PlannedFile>,
    ) -> Result<Self, Failure> {
        if files.is_empty() {
            return Err(Failure::unreadable("answer", "it lists no files"));
        }
        files.sort_by_key(|file| file.role == "index");
        Ok(Self { image, revision, is_ready, files })
    }

    /// Returns the plan of what a signed tree offers.
    pub fn of_tree(tree: &SignedTree, offer: Offer) -> Result<Self, Failure> {
        let planned = |file: SignedFile| {
            let url = tree.url(&file.path)?;
            let name = name_in(&url)?;
            let deltas = file.deltas.into_iter().map(|(from, delta)| {
                let (url, size, digest) = (tree.url(&delta.path)?, delta.size, delta.digest);
                Ok::<_, Failure>(PlannedDelta { from, url, size, digest })
            });
            let deltas = deltas.collect::<Result<_, _>>()?;
            let chunks = file.chunks.map(|chunks| tree.url(&chunks.path)).transpose()?;
            let whole = PlannedFile::whole(file.role, name, url, file.size, file.digest);
            Ok(PlannedFile { chunks, deltas, ..whole })
        };
        let files: Result<Vec<_>, Failure> = offer.files.into_iter().map(planned).collect();
        Self::new(offer.image, offer.revision, true, files?)
    }

    /// Returns the `.ckm`, or the one file of an image of kind `single`. A plan is never empty.
    pub fn main_file(&self) -> &PlannedFile {
        &self.files[0]
    }

    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// The fields of an update check that the client reads.
#[derive(Debug, Deserialize)]
struct Check {
    image: String,
    reason: String,
    target: Option<CheckTarget>,
}

#[derive(Debug, Deserialize)]
struct CheckTarget {
    revision: u64,
    files: Vec<CheckFile>,
}

#[derive(Debug, Deserialize)]
struct CheckFile {
    role: String,
    url: String,
    size: u64,
    digest: String,
    chunks_url: Option<String>,
    delta: Option<CheckDelta>,
}

#[derive(Debug, Deserialize)]
struct CheckDelta {
    from: u64,
    url: String,
    size: u64,
    digest: String,
}

impl CheckDelta {
    fn planned(self, connection: &Connection) -> Result<PlannedDelta, Failure> {
        let (url, digest) = (connection.resolve(&self.url)?, digest(&self.digest)?);
        Ok(PlannedDelta { from: self.from, url, size: self.size, digest })
    }
}

/// A question to the update check.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub image: &'a str,
    pub channel: &'a str,
    pub client: Option<&'a ClientId>,
}

/// Returns what the channel offers to a machine that has nothing yet.
pub async fn offered(connection: &Connection, asked: Asked<'_>) -> Result<FetchPlan, Failure> {
    let check = ask(connection, asked, None).await?;
    let Some(target) = check.target else {
        let reason = nothing_offered(asked.image, asked.channel, &check.reason);
        return Err(Failure::new(Exit::NotFound, reason));
    };
    let mut files = Vec::new();
    for file in target.files {
        let url = connection.resolve(&file.url)?;
        let planned =
            PlannedFile::whole(file.role, name_in(&url)?, url, file.size, digest(&file.digest)?);
        let chunks = file.chunks_url.map(|url| connection.resolve(&url)).transpose()?;
        let delta = file.delta.map(|delta| delta.planned(connection)).transpose()?;
        files.push(PlannedFile { chunks, deltas: delta.into_iter().collect(), ..planned });
    }
    FetchPlan::new(check.image, target.revision, true, files)
}

async fn ask(
    connection: &Connection,
    Asked { image, channel, client }: Asked<'_>,
    current: Option<u64>,
) -> Result<Check, Failure> {
    let mut question = connection.api(&["update-check"])?;
    question.query_pairs_mut().append_pair("image", image).append_pair("channel", channel);
    if let Some(current) = current {
        question.query_pairs_mut().append_pair("revision", &current.to_string());
    }
    if let Some(client) = client {
        question.query_pairs_mut().append_pair("client", client.as_str());
    }
    connection.get(question).await
}

fn nothing_offered(image: &str, channel: &str, reason: &str) -> String {
    if reason == "nothing_assigned" {
        format!("no revision of {image} is assigned to the channel {channel} yet")
    } else {
        format!("the channel {channel} offers no revision of {image} now ({reason})")
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

fn digest(text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|error| Failure::unreadable("digest", error))
}

/// Returns the last segment of an address, unescaped.
fn name_in(url: &Url) -> Result<String, Failure> {
    let segment = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    let name = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|error| Failure::unreadable("file name", error))?;
    plain(name.into_owned())
}

/// Accepts only plain file names. Whatever a server answers, a file is written to the requested folder and nowhere
/// else.
fn plain(name: String) -> Result<String, Failure> {
    let outside =
        name.contains(|letter: char| matches!(letter, '/' | '\\' | ':') || letter.is_control());
    if outside || matches!(name.as_str(), "" | "." | "..") {
        return Err(Failure::unreadable("file name", format!("{name:?} is not a plain file name")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_called_as_in_the_tree() {
        let url = Url::parse("http://depot/MEDVImages/test/win%207_12.ckm.index?x=1").unwrap();
        assert_eq!(name_in(&url).unwrap(), "win 7_12.ckm.index");
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        for path in ["/a/", "/..%2f..%2fetc%2fpasswd", "/a%5Cb", "/C%3Aa", "/a%00", "/a%ff"] {
            let url = Url::parse(&format!("http://depot{path}")).unwrap();
            assert!(name_in(&url).is_err(), "{path}");
        }
    }

    #[test]
    fn the_index_comes_last() {
        let file = |role: &str| {
            let url = Url::parse("http://depot/").unwrap();
            PlannedFile::whole(role.to_owned(), role.to_owned(), url, 1, Digest::of(b""))
        };
        let plan =
            FetchPlan::new("a".to_owned(), 1, true, vec![file("index"), file("ckm")]).unwrap();
        assert_eq!(plan.main_file().role, "ckm");
        assert_eq!(plan.files[1].role, "index");
    }
}
