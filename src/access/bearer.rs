//! Bearer tokens (RFC 6750): the depot's own, or those of the outside issuer that the settings name.
//!
//! `typ` says which kind a token claims to be. Each kind has keys of its own, and a token is never tried with both.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use moka::future::Cache;
use uuid::Uuid;

use super::oidc::Issuer;
use super::oidc::settings::Oidc;
use super::{Denied, Identity, jwt, token};
use crate::catalog::Catalog;
use crate::catalog::accounts::token::USE_NOTED_EVERY;
use crate::model::ApiToken;

/// The shortest interval, in milliseconds, between two checks of the catalog because of an unknown token. Such tokens
/// cost their sender nothing.
const LOOK_EVERY: i64 = 100;

const NOTED_AT_MOST: u64 = 100_000;

/// Recognises callers by their tokens.
#[derive(Clone)]
pub struct TokenReader {
    catalog: Catalog,
    issuer: Option<Arc<Issuer>>,
    /// The tokens whose use this process has noted within the hour.
    noted: Cache<Uuid, ()>,
    looked: Arc<AtomicI64>,
}

impl TokenReader {
    pub fn new(catalog: Catalog, oidc: Option<&Oidc>) -> Result<Self, reqwest::Error> {
        jwt::install_cryptography();
        Ok(Self {
            catalog,
            issuer: oidc.map(Issuer::new).transpose()?.map(Arc::new),
            noted: Cache::builder()
                .max_capacity(NOTED_AT_MOST)
                .time_to_live(USE_NOTED_EVERY)
                .build(),
            looked: Arc::default(),
        })
    }

    /// Returns the outside issuer. Its keys are kept up to date only while [`Issuer::follow`] runs.
    pub fn issuer(&self) -> Option<&Arc<Issuer>> {
        self.issuer.as_ref()
    }

    /// Authenticates a caller by a token.
    pub async fn authenticate(&self, text: &str) -> Result<Identity, Denied> {
        let head = jwt::head(text)?;
        if head.kind().as_deref() == Some(token::KIND) {
            let token = match self.own(text, &head) {
                // Another process may just have created it.
                Err(token::UNKNOWN) if self.take_look() && self.catalog.has_news().await => {
                    self.own(text, &head)
                }
                found => found,
            }?;
            self.note_use(&token).await;
            return Ok(Identity::token(token));
        }
        match &self.issuer {
            Some(issuer) => issuer.authenticate(text, &head).await,
            None => Err(Denied::BadToken("it was not issued by this depot")),
        }
    }

    fn own(&self, text: &str, head: &jwt::Head) -> Result<Arc<ApiToken>, Denied> {
        let snapshot = self.catalog.snapshot();
        let id = token::verify(text, head, &snapshot)?;
        let token = snapshot.token(id).ok_or(token::UNKNOWN)?;
        if token.is_live(self.catalog.clock().now()) {
            Ok(Arc::clone(token))
        } else {
            Err(Denied::ExpiredToken)
        }
    }

    /// Reports whether the caller may check the catalog: only one may in each interval.
    fn take_look(&self) -> bool {
        let now = self.catalog.clock().now().timestamp_millis();
        let last = self.looked.load(Ordering::Relaxed);
        (now - last).abs() >= LOOK_EVERY
            && self.looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    async fn note_use(&self, token: &ApiToken) {
        if self.noted.get(&token.id).await.is_none() {
            self.noted.insert(token.id, ()).await;
            self.catalog.note_token_use(token.id);
        }
    }
}
