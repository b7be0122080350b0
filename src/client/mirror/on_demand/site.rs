//! The mirror as its server and its looks share it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::HeaderMap;

use super::access::{Access, Caller};
use super::library::Library;
use super::moment::Moment;
use super::problem::Problem;
use crate::client::mirror::manifest::is_plain;
use crate::client::trust::source::Source;
use crate::trust::role::{FOLDER, FileName};

/// A mirror.
#[derive(Debug)]
pub struct Site {
    /// The path of the tree on the server, with slashes around it.
    pub alias: String,
    pub source: Source,
    pub library: Arc<Library>,
    pub access: Access,
    /// The root of the copy of the metadata.
    pub folder: PathBuf,
    /// The moment; or the reason why there is none.
    moment: RwLock<Result<Arc<Moment>, String>>,
}

/// Reports whether a path may be one of a file or of metadata, letter by letter.
fn is_of_tree(path: &str) -> bool {
    let in_metadata =
        path.split_once('/').filter(|(folder, _)| folder.eq_ignore_ascii_case(FOLDER));
    is_plain(path)
        || in_metadata
            .is_some_and(|(_, name)| name.to_ascii_lowercase().parse::<FileName>().is_ok())
}

impl Site {
    pub fn new(
        source: Source,
        library: Arc<Library>,
        access: Access,
        folder: PathBuf,
        moment: Result<Moment, String>,
    ) -> Self {
        let alias = source.base().path().to_owned();
        let moment = RwLock::new(moment.map(Arc::new));
        Self { alias, source, library, access, folder, moment }
    }

    /// Returns the moment that is served. Nobody believes metadata past its expiry.
    pub fn moment(&self) -> Result<Arc<Moment>, Problem> {
        let moment = self.moment.read().unwrap_or_else(PoisonError::into_inner).clone();
        let moment = moment.map_err(|why| {
            Problem::not_fresh(format!("This mirror has no metadata that can be believed: {why}"))
        })?;
        if moment.picture.is_fresh() {
            return Ok(moment);
        }
        let at = moment.picture.expires();
        Err(Problem::not_fresh(format!(
            "The tree's metadata expired at {at}, and this mirror could not renew it."
        )))
    }

    pub fn set(&self, moment: Moment) {
        *self.moment.write().unwrap_or_else(PoisonError::into_inner) = Ok(Arc::new(moment));
    }

    /// Makes sure that a caller may read a path. Returns true if not everyone may.
    pub async fn must_read(
        &self,
        moment: &Moment,
        path: &str,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<bool, Problem> {
        let Some(document) = moment.closed_by(path) else { return Ok(false) };
        let caller = Caller { headers, address };
        let url = |path: &str| self.source.url(path).map_err(|failure| Problem::from(&failure));
        match self.access.must_read(caller, &url(document)?).await {
            // Who may read some images may not read the document that names all. Another path than one of the tree's is
            // never made an address: it could lead elsewhere, with the caller's credentials.
            Err(problem) if problem.is_forbidden() && document != path && is_of_tree(path) => {
                self.access.must_read(caller, &url(path)?).await?;
            }
            other => other?,
        }
        Ok(true)
    }
}
