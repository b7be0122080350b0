//! The issuer's public keys (RFC 7517), fetched in the background and held in memory.
//!
//! They are fetched at the start, every quarter of an hour, and when a token names a key that is not known, but never
//! twice within ten seconds: made-up key ids cost the issuer next to nothing. While the issuer does not respond, the
//! keys stay valid for `access.oidc.keys_kept`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::settings::{Oidc, is_safe};
use crate::access::Denied;

const REFRESH_EVERY: Duration = Duration::from_mins(15);
const NOT_AGAIN_FOR: Duration = Duration::from_secs(10);
/// The time for which a request waits for keys that are fetched because of it.
const PATIENCE: Duration = Duration::from_secs(3);
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// The largest response that is read. Issuers have a handful of keys, of a kilobyte each.
const LARGEST_ANSWER: usize = 1 << 20;
const MOST_KEYS: usize = 100;
/// The shortest RSA modulus, in bytes (2,048 bits). Shorter keys can be broken.
const SHORTEST_MODULUS: usize = 256;

/// The source of the keys, and the keys that were fetched last.
pub struct KeySource {
    http: reqwest::Client,
    issuer: String,
    keys_url: Option<Url>,
    kept: Duration,
    algorithms: Vec<Algorithm>,
    current: ArcSwapOption<KeySet>,
    wanted: Notify,
    /// The number of attempts to fetch keys.
    attempts: watch::Sender<u64>,
    /// True if the last attempt was just now, so that none is made yet.
    resting: AtomicBool,
}

struct KeySet {
    keys: Vec<Key>,
    fetched: Instant,
}

/// A key, and the algorithms that it may verify, which are all of one family.
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The part of OpenID Connect Discovery that is used here.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: Url,
}

/// The keys as they are published. They are parsed leniently, so that a key of an unknown kind does not invalidate the
/// others.
#[derive(Deserialize)]
struct RawKeys {
    keys: Vec<Value>,
}

impl KeySource {
    pub fn new(settings: &Oidc, algorithms: Vec<Algorithm>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // The keys are trusted because of their address.
            .redirect(Policy::none())
            .timeout(ANSWERS_WITHIN)
            .build()?;
        Ok(Self {
            http,
            issuer: settings.issuer.clone(),
            keys_url: settings.keys_url.clone(),
            kept: settings.keys_kept,
            algorithms,
            current: ArcSwapOption::empty(),
            wanted: Notify::new(),
            attempts: watch::Sender::new(0),
            resting: AtomicBool::new(false),
        })
    }

    /// Keeps the keys up to date, until it is cancelled.
    pub async fn follow(&self) {
        loop {
            match self.fetch().await {
                Ok(keys) => {
                    let set = KeySet { keys, fetched: Instant::now() };
                    self.current.store(Some(set.into()));
                }
                Err(error) => {
                    tracing::warn!(%error, issuer = self.issuer, "the issuer's keys could not be fetched");
                }
            }
            self.resting.store(true, Ordering::Relaxed);
            self.attempts.send_modify(|count| *count += 1);
            sleep(NOT_AGAIN_FOR).await;
            self.resting.store(false, Ordering::Relaxed);
            // Early enough to fetch the next keys before these are too old.
            let in_time = (self.kept / 2).saturating_sub(NOT_AGAIN_FOR);
            let pause = if self.has_keys() { REFRESH_EVERY.min(in_time) } else { PATIENCE };
            let _either = timeout(pause, self.wanted.notified()).await;
        }
    }

    /// Returns the keys that may have made a signature: those with the id or, if no id is named, the only one for the
    /// algorithm.
    pub async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<DecodingKey>, Denied> {
        let mut attempts = self.attempts.subscribe();
        let found = self.look(id, algorithm);
        if !found.is_empty() {
            return Ok(found);
        }
        self.wanted.notify_one();
        let is_resting = self.resting.load(Ordering::Relaxed);
        if !is_resting {
            let _either = timeout(PATIENCE, attempts.changed()).await;
        }
        match self.look(id, algorithm) {
            found if !found.is_empty() => Ok(found),
            // While no keys are fetched, it is unknown whether the issuer has a new one, so the client has to try
            // again.
            _ if !self.has_keys() || (is_resting && self.may_be_new(id)) => Err(Denied::IssuerAway),
            _ => Err(Denied::BadToken("its issuer publishes no key with its id and algorithm")),
        }
    }

    fn look(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let current = self.current.load();
        let Some(set) = current.as_ref().filter(|set| set.fetched.elapsed() < self.kept) else {
            return Vec::new();
        };
        let fit = |key: &&Key| {
            key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id)
        };
        let found: Vec<_> = set.keys.iter().filter(fit).map(|key| key.key.clone()).collect();
        if id.is_none() && found.len() > 1 { Vec::new() } else { found }
    }

    /// Reports whether a key of this id may have been added since the last fetch.
    fn may_be_new(&self, id: Option<&str>) -> bool {
        let current = self.current.load();
        let is_known =
            |set: &std::sync::Arc<KeySet>| set.keys.iter().any(|key| key.id.as_deref() == id);
        id.is_some() && !current.as_ref().is_some_and(is_known)
    }

    fn has_keys(&self) -> bool {
        self.current.load().as_ref().is_some_and(|set| set.fetched.elapsed() < self.kept)
    }

    async fn fetch(&self) -> Result<Vec<Key>, FetchError> {
        let url = match &self.keys_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let raw: RawKeys = self.get(url).await?;
        let keys: Vec<Key> = raw
            .keys
            .into_iter()
            .take(MOST_KEYS)
            .filter_map(|key| usable(key, &self.algorithms))
            .collect();
        if keys.is_empty() {
            return Err(FetchError::Unfit("it publishes no key for the configured algorithms"));
        }
        let ids: BTreeSet<_> = keys.iter().filter_map(|key| key.id.as_deref()).collect();
        tracing::debug!(issuer = self.issuer, keys = ?ids, "the issuer's keys were fetched");
        Ok(keys)
    }

    async fn discover(&self) -> Result<Url, FetchError> {
        let address =
            format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let url = address.parse().map_err(|_| FetchError::Unfit("its name is not a URL"))?;
        let discovery: Discovery = self.get(url).await?;
        if discovery.issuer != self.issuer {
            return Err(FetchError::Unfit("its discovery document names another issuer"));
        }
        if !is_safe(&discovery.jwks_uri) {
            return Err(FetchError::Unfit("the address of its keys is not an https URL"));
        }
        Ok(discovery.jwks_uri)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: Url) -> Result<T, FetchError> {
        let mut response = self.http.get(url).send().await?.error_for_status()?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Unfit("it answers with a status other than 200"));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST_ANSWER {
                return Err(FetchError::Unfit("its answer is larger than 1 MiB"));
            }
        }
        serde_json::from_slice(&body)
            .map_err(|_| FetchError::Unfit("its answer does not have the format of the standard"))
    }
}

/// The reason why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Unfit(&'static str),
}

/// Returns a key for signatures with one of these algorithms, or none. The key decides which algorithms it may verify,
/// not the token. A shared secret, which some issuers list by mistake, is not accepted.
fn usable(key: Value, accepted: &[Algorithm]) -> Option<Key> {
    let declared = key.get("alg").map(|alg| alg.as_str().and_then(|alg| alg.parse().ok()));
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return None;
    }
    let family: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if modulus_length(&rsa.n) >= SHORTEST_MODULUS => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => return None,
    };
    let fits = |algorithm: &&Algorithm| {
        accepted.contains(algorithm)
            && declared.is_none_or(|declared| declared == Some(**algorithm))
    };
    let algorithms: Vec<_> = family.iter().filter(fits).copied().collect();
    if algorithms.is_empty() {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Key { id: jwk.common.key_id, algorithms, key })
}

fn modulus_length(encoded: &str) -> usize {
    encoded.len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA];

    fn algorithms(key: Value) -> Option<Vec<Algorithm>> {
        usable(key, &ALL).map(|key| key.algorithms)
    }

    #[test]
    fn a_key_verifies_what_its_kind_and_its_issuer_allow() {
        let rsa = json!({"kty": "RSA", "kid": "a", "n": "A".repeat(342), "e": "AQAB"});
        assert_eq!(algorithms(rsa.clone()), Some(vec![Algorithm::RS256, Algorithm::PS256]));
        let mut declared = rsa.clone();
        declared["alg"] = json!("PS256");
        assert_eq!(algorithms(declared), Some(vec![Algorithm::PS256]));
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43)});
        assert_eq!(algorithms(ed), Some(vec![Algorithm::EdDSA]));
    }

    #[test]
    fn what_is_no_key_for_signatures_is_passed_over() {
        let rsa = |with: Value| {
            let mut key = json!({"kty": "RSA", "kid": "a", "n": "A".repeat(342), "e": "AQAB"});
            key.as_object_mut().unwrap().append(&mut with.as_object().unwrap().clone());
            key
        };
        for key in [
            rsa(json!({"use": "enc"})),
            rsa(json!({"alg": "RSA-OAEP"})),
            rsa(json!({"alg": "HS256"})),
            rsa(json!({"n": "A".repeat(171)})),
            json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}),
            json!({"kty": "unheard-of"}),
            json!(7),
        ] {
            assert_eq!(algorithms(key.clone()), None, "{key}");
        }
    }
}
