//! Telling the depot how far a mirror is: `PUT /api/v1/mirrors/{name}`. People see it there; a mirror works the same if
//! nobody takes it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::connection::Connection;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::output::complain;
use crate::client::pull::update_check::this_client;
use crate::model::ClientId;

/// The time between two reports, while nothing changes.
const PERIOD: Duration = Duration::from_mins(10);

/// The time limit of a report. The work goes on after it anyway.
const LIMIT: Duration = Duration::from_secs(20);

/// The state of a mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The channels, each with the sequence of its document.
    pub channels: Vec<(String, u64)>,
    pub bytes: u64,
    pub bytes_missing: u64,
    pub error: Option<String>,
}

/// The kind of a mirror, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Copy,
    OnDemand,
}

/// The state of this mirror, and the depot that hears of it.
#[derive(Debug)]
pub struct Told {
    kind: Kind,
    depot: Option<(Connection, ClientId)>,
    state: Mutex<State>,
    /// The last failure that was complained about.
    trouble: Mutex<Option<String>>,
}

impl Told {
    /// Returns a mirror whose state is told to the server that the user names, under this name or the machine's.
    pub fn new(
        kind: Kind,
        name: Option<&ClientId>,
        server: &ServerArgs,
    ) -> Result<Arc<Self>, Failure> {
        let is_named = server.server.is_some()
            || std::env::var_os("IMAGEDEPOT_URL").is_some_and(|url| !url.is_empty());
        let name = if is_named { this_client(name)? } else { None };
        let depot = match name {
            Some(name) => Some((Connection::open(server)?, name)),
            None => None,
        };
        Ok(Arc::new(Self { kind, depot, state: Mutex::default(), trouble: Mutex::default() }))
    }

    /// Changes the state. Returns true if it is another one.
    pub fn change(&self, change: impl FnOnce(&mut State)) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.clone();
        change(&mut state);
        *state != before
    }

    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the state now.
    pub async fn tell(&self) {
        let Some((connection, name)) = &self.depot else { return };
        let told = match connection.api(&["mirrors", name.as_str()]) {
            Ok(url) => {
                let request = connection.request(Method::PUT, url).json(&self.document());
                match request.timeout(LIMIT).send().await {
                    Ok(response) if response.status().is_success() => Ok(()),
                    // A depot of an earlier version does not know mirrors.
                    Ok(response) if response.status() == StatusCode::NOT_FOUND => Ok(()),
                    Ok(response) => Err(Failure::answered(response).await),
                    Err(error) => Err(Failure::line(connection.server(), &error)),
                }
            }
            Err(failure) => Err(failure),
        };
        self.note(told.err().map(|failure| failure.to_string()));
    }

    /// Tells the state every ten minutes, without end.
    pub async fn tell_again_and_again(&self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            self.tell().await;
        }
    }

    fn document(&self) -> Value {
        let state = self.state();
        let channels: Vec<_> = state
            .channels
            .iter()
            .map(|(channel, sequence)| json!({"channel": channel, "sequence": sequence}))
            .collect();
        let kind = match self.kind {
            Kind::Copy => "copy",
            Kind::OnDemand => "on_demand",
        };
        let mut document = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "kind": kind,
            "channels": channels,
            "bytes": state.bytes,
            "bytes_missing": state.bytes_missing,
        });
        if let Some(error) = state.error {
            document["error"] = error.into();
        }
        document
    }

    /// Complains about a failure, once until there is another one.
    fn note(&self, failure: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(words) = failure.as_ref().filter(|_| *trouble != failure) {
            complain(&format!(
                "imagedepot: the depot was not told how far this mirror is: {words}"
            ));
        }
        *trouble = failure;
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{HttpResponse, web};

    use super::*;
    use crate::client::test_server::{problem, serve};

    async fn told_to(status: u16) -> (Arc<Told>, Arc<Mutex<Vec<Value>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let connection = serve(move |routes| {
            let ear = Arc::clone(&ear);
            let take = move |body: web::Json<Value>| {
                ear.lock().unwrap().push(body.into_inner());
                async move {
                    if status < 300 {
                        HttpResponse::NoContent().finish()
                    } else {
                        problem(status, "no")
                    }
                }
            };
            routes.route("/api/v1/mirrors/berlin", web::put().to(take));
        })
        .await;
        let server =
            ServerArgs { server: Some(connection.server().to_owned()), ..ServerArgs::default() };
        let name = "berlin".parse().unwrap();
        (Told::new(Kind::Copy, Some(&name), &server).unwrap(), heard)
    }

    #[tokio::test]
    async fn the_depot_is_told_what_a_mirror_has() {
        let (told, heard) = told_to(204).await;
        let has = |state: &mut State| state.channels = vec![("production".to_owned(), 7)];
        assert!(told.change(has) && !told.change(has));
        told.tell().await;
        let expected = json!({"version": env!("CARGO_PKG_VERSION"), "kind": "copy", "bytes": 0,
            "channels": [{"channel": "production", "sequence": 7}], "bytes_missing": 0});
        assert_eq!(*heard.lock().unwrap(), [expected]);
    }

    #[tokio::test]
    async fn a_depot_that_knows_no_mirrors_is_no_trouble() {
        for (status, is_trouble) in [(204, false), (404, false), (403, true)] {
            let (told, heard) = told_to(status).await;
            told.tell().await;
            assert_eq!(heard.lock().unwrap().len(), 1);
            assert_eq!(told.trouble.lock().unwrap().is_some(), is_trouble, "{status}");
        }
    }
}
