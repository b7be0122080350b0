//! The plan of a fetch: the files of a revision, with their addresses, sizes and digests.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::client::error::Failure;
use crate::client::trust::channel::{Offer, SignedFile};
use crate::client::trust::tree::SignedTree;
use crate::model::Digest;

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
    pub(super) fn new(
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

pub(super) fn digest(text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|error| Failure::unreadable("digest", error))
}

/// Returns the last segment of an address, unescaped.
pub(super) fn name_in(url: &Url) -> Result<String, Failure> {
    let segment = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    let name = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|error| Failure::unreadable("file name", error))?;
    plain(name.into_owned())
}

/// Accepts only plain file names. Whatever a server answers, a file is written to the requested folder and nowhere
/// else.
pub(super) fn plain(name: String) -> Result<String, Failure> {
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
