//! Access to channels that ask for credentials: whoever may read them at the depot may read them here.
//!
//! The caller's own header is shown to the depot, never the mirror's. A positive answer holds for a minute; while the
//! depot is away, for a day.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use reqwest::Method;
use url::Url;

use super::problem::Problem;
use crate::client::connection::Connection;
use crate::model::Digest;

const HOLDS: Duration = Duration::from_mins(1);
const HOLDS_WHILE_AWAY: Duration = Duration::from_hours(24);

/// The most answers that are remembered.
const MOST: usize = 10_000;

const LIMIT: Duration = Duration::from_secs(20);

/// The depot as it is asked about callers.
#[derive(Debug)]
pub struct Access {
    /// Without credentials of its own.
    connection: Connection,
    /// The last positive answers, by the digest of the header, and the address.
    granted: Mutex<HashMap<(Digest, String), Instant>>,
}

/// Somebody who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub headers: &'a HeaderMap,
    pub address: IpAddr,
}

impl Access {
    pub fn new(connection: Connection) -> Self {
        Self { connection, granted: Mutex::default() }
    }

    /// Makes sure that a caller may read an address of the tree.
    pub async fn must_read(&self, caller: Caller<'_>, url: &Url) -> Result<(), Problem> {
        let header = caller.headers.get(AUTHORIZATION).filter(|header| is_passed_on(header));
        let secret = header.map_or(&b""[..], HeaderValue::as_bytes);
        let key = (Digest::of(secret), url.to_string());
        let granted = self.granted().get(&key).copied();
        if granted.is_some_and(|at| at.elapsed() < HOLDS) {
            return Ok(());
        }
        let mut question = self
            .connection
            .request(Method::HEAD, url.clone())
            .timeout(LIMIT)
            // For the depot's own waits after wrong passwords, where it believes this mirror.
            .header("X-Forwarded-For", caller.address.to_string());
        if let Some(header) = header {
            question = question.header(AUTHORIZATION, header.clone());
        }
        match question.send().await {
            Ok(answer) if answer.status().is_success() => {
                self.grant(key);
                Ok(())
            }
            // That somebody has to wait says nothing of what was granted before.
            Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS => {
                Err(refused(answer.status(), answer.headers()))
            }
            Ok(answer) if !answer.status().is_server_error() => {
                self.granted().remove(&key);
                Err(refused(answer.status(), answer.headers()))
            }
            _ if granted.is_some_and(|at| at.elapsed() < HOLDS_WHILE_AWAY) => Ok(()),
            _ => {
                let words = "The depot cannot be asked who may read this. Try again later.";
                Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "depot_away", words))
            }
        }
    }

    fn granted(&self) -> std::sync::MutexGuard<'_, HashMap<(Digest, String), Instant>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, key: (Digest, String)) {
        let mut granted = self.granted();
        if granted.len() >= MOST {
            granted.retain(|_, at| at.elapsed() < HOLDS);
        }
        if granted.len() >= MOST {
            granted.clear();
        }
        granted.insert(key, Instant::now());
    }
}

/// Reports whether credentials, or a challenge, are of a kind that goes through a mirror.
fn is_passed_on(header: &HeaderValue) -> bool {
    let scheme = header.to_str().ok().and_then(|text| text.split(' ').next());
    scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("basic") || scheme.eq_ignore_ascii_case("bearer")
    })
}

fn refused(status: StatusCode, headers: &HeaderMap) -> Problem {
    let problem = match status {
        StatusCode::UNAUTHORIZED => {
            Problem::new(status, "credentials_required", "This channel asks for credentials.")
        }
        StatusCode::FORBIDDEN => {
            Problem::new(status, "forbidden", "These credentials may not read this channel.")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            Problem::new(status, "too_many_requests", "The depot asks to wait.")
        }
        _ => return Problem::gone(status.as_u16()),
    };
    let passed = [WWW_AUTHENTICATE, RETRY_AFTER].into_iter();
    passed
        .flat_map(|name| headers.get_all(&name).iter().map(move |value| (name.clone(), value)))
        .filter(|(name, value)| *name != WWW_AUTHENTICATE || is_passed_on(value))
        .fold(problem, |problem, (name, value)| problem.with(name, value.clone()))
}
