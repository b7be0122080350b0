//! Log-ins that were refused, on their way to the record.
//!
//! Whoever is refused waits for no database: what is noted here is written once a second, in one transaction, equal
//! ones as one row that counts them. So ten thousand guesses cost the database as little as one does, and are all on
//! record; what a kill can take along is the last second's. Rejected: a row before each answer, which lets
//! guesses queue for the database, and leaves update checks with wrong credentials unanswered while it is away.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Result};

/// How long what was noted waits for more.
const GATHERING: Duration = Duration::from_secs(1);

/// Different ones that are kept until they are written; those beyond are counted in one row.
const DIFFERENT: usize = 1000;

/// In place of a user's name where nobody has the one that was given: it may be a password in the wrong field.
const UNKNOWN: &str = "(unknown)";

/// A log-in that was refused; equal ones are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefusedLogin {
    /// The name that was given, if somebody has it.
    pub caller: Option<String>,
    /// Subject and issuer of the certificate that was brought.
    pub certificate: Option<String>,
    /// The code of the problem that was answered, or of the handshake's refusal.
    pub reason: &'static str,
    pub address: IpAddr,
}

/// How often, and the first one's request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Times {
    count: u64,
    request_id: Option<String>,
}

/// What has not been written yet.
#[derive(Debug, Default)]
pub(in crate::catalog) struct RefusedLogins(Mutex<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    different: HashMap<RefusedLogin, Times>,
    beyond: u64,
}

impl RefusedLogins {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn add(&mut self, refused: RefusedLogin, times: Times) {
        if let Some(known) = self.different.get_mut(&refused) {
            known.count += times.count;
        } else if self.different.len() < DIFFERENT {
            self.different.insert(refused, times);
        } else {
            self.beyond += times.count;
        }
    }

    fn is_empty(&self) -> bool {
        self.different.is_empty() && self.beyond == 0
    }
}

impl Catalog {
    /// Notes a refusal for the record.
    pub fn note_refused_login(&self, refused: RefusedLogin, request_id: Option<String>) {
        self.shared.refused_logins.lock().add(refused, Times { count: 1, request_id });
    }

    /// Writes what was noted, without end.
    pub async fn keep_recording_refused_logins(&self) {
        loop {
            tokio::time::sleep(GATHERING).await;
            self.record_refused_logins().await;
        }
    }

    /// Writes what was noted; what cannot be written stays for the next time.
    pub(in crate::catalog) async fn record_refused_logins(&self) {
        let gathered = std::mem::take(&mut *self.shared.refused_logins.lock());
        if gathered.is_empty() {
            return;
        }
        if let Err(error) = self.write_refused_logins(&gathered).await {
            tracing::warn!(%error, "refused log-ins could not be written to the audit yet");
            let mut later = self.shared.refused_logins.lock();
            later.beyond += gathered.beyond;
            for (refused, times) in gathered.different {
                later.add(refused, times);
            }
        }
    }

    async fn write_refused_logins(&self, gathered: &Gathered) -> Result<()> {
        let mut tx = self.db.write().await?;
        let mut note = |actor: &Actor, after: &serde_json::Value| {
            let subject = "whoami".to_owned();
            self.audit(
                &mut tx,
                Entry { action: "login.refuse", subject, actor },
                NOTHING,
                Some(after),
            );
        };
        for (refused, times) in &gathered.different {
            let actor = Actor {
                name: refused.caller.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
                roles: Vec::new(),
                request_id: times.request_id.clone(),
                address: Some(refused.address.to_string()),
            };
            let mut after = json!({"reason": refused.reason, "times": times.count});
            if let Some(certificate) = &refused.certificate {
                after["certificate"] = json!(certificate);
            }
            note(&actor, &after);
        }
        if gathered.beyond > 0 {
            let after = json!({"reason": "too_many_different_ones", "times": gathered.beyond});
            note(&Actor { roles: Vec::new(), ..Actor::system(UNKNOWN) }, &after);
        }
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: u32) -> RefusedLogin {
        let address = std::net::Ipv4Addr::from(address).into();
        RefusedLogin { caller: None, certificate: None, reason: "credentials_wrong", address }
    }

    fn once(request: &str) -> Times {
        Times { count: 1, request_id: Some(request.to_owned()) }
    }

    #[test]
    fn equal_ones_are_counted_under_the_first_one_s_request() {
        let mut gathered = Gathered::default();
        for request in ["first", "second", "third"] {
            gathered.add(refused(1), once(request));
        }
        gathered.add(refused(2), once("other"));
        let times = &gathered.different[&refused(1)];
        assert_eq!((times.count, times.request_id.as_deref()), (3, Some("first")));
        assert_eq!(gathered.different[&refused(2)], once("other"));
    }

    #[test]
    fn a_flood_of_different_ones_is_counted_and_takes_no_more_room() {
        let mut gathered = Gathered::default();
        for address in 0..5000 {
            gathered.add(refused(address), once("r"));
        }
        gathered.add(refused(0), once("again"));
        assert_eq!(gathered.different.len(), DIFFERENT);
        assert_eq!(gathered.beyond, 4000);
        assert_eq!(gathered.different[&refused(0)].count, 2);
    }
}
