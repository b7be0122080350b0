//! Negotiate with Kerberos (RFC 4559), through the system's GSSAPI.
//!
//! Every request authenticates itself, as in IIS with `authPersistNonNTLM=false`. Nothing is remembered about a
//! connection, so that no caller behind a proxy is taken for another. One token is received and one is sent; an
//! exchange that would take more is refused. The library keeps a replay cache in the data folder, so that a token
//! counts only once.
//!
//! Built with the cargo feature `negotiate`. The keys come from `KRB5_KTNAME`; see `command_line::keytab`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libgssapi::context::{SecurityContext as _, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error as GssError;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_MECH_SPNEGO, OidSet};
use tokio::sync::Semaphore;

use super::principal::Principals;
use super::{AuthenticationMethod, Denied, Identity};
use crate::catalog::Catalog;

/// The number of tokens that are checked at once. Each takes a third of a millisecond of a thread, and only one at a
/// time can use the replay cache.
const TOKENS_AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(5);

/// The first bytes of NTLM that is not inside SPNEGO.
const NTLM: &[u8] = b"NTLMSSP\0";

/// NTLM inside SPNEGO: the identifier 1.3.6.1.4.1.311.2.2.10 in DER.
const NTLM_OFFERED: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";

/// The reason why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableKeytab {
    #[error("access.kerberos.keytab: {0}")]
    Refused(String),
    #[error(
        "access.kerberos.keytab: the realm of its keys cannot be determined; set access.kerberos.principals"
    )]
    NoRealm,
}

/// A caller who was recognised by a ticket.
pub struct Accepted {
    pub identity: Identity,
    /// The token that proves this server to the client, for `WWW-Authenticate`.
    pub token: Option<String>,
}

/// Recognises callers by their tickets. Cheap to clone, shared by all workers.
#[derive(Clone)]
pub struct Negotiate {
    catalog: Catalog,
    principals: Arc<Principals>,
    permits: Arc<Semaphore>,
}

impl Negotiate {
    /// Fails here if the keys cannot be read, rather than at the first request.
    pub fn new(catalog: Catalog, principals: Principals) -> Result<Self, UnusableKeytab> {
        let keys = keys().map_err(|error| UnusableKeytab::Refused(error.to_string()))?;
        let principals = if principals.is_default() {
            let own = keys.name().and_then(|name| text(&name)).unwrap_or_default();
            let (service, realm) = own.rsplit_once('@').ok_or(UnusableKeytab::NoRealm)?;
            tracing::info!(service, realm, "tickets of this realm are accepted");
            principals.or_those_of(realm)
        } else {
            principals
        };
        let permits = Arc::new(Semaphore::new(TOKENS_AT_ONCE));
        Ok(Self { catalog, principals: Arc::new(principals), permits })
    }

    /// Authenticates a caller by a token, which is the text behind `Negotiate` in an `Authorization` header.
    pub async fn recognise(&self, encoded: &str) -> Result<Accepted, Denied> {
        let token = STANDARD.decode(encoded).map_err(|_| Denied::Unreadable)?;
        if token.starts_with(NTLM) {
            return Err(Denied::Ntlm);
        }
        let permit =
            tokio::time::timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Denied::Busy)?.map_err(|_| Denied::Busy)?;
        let step = move || {
            let _permit = permit;
            step(&token)
        };
        let (principal, answer) =
            tokio::task::spawn_blocking(step).await.map_err(|_| Denied::Busy)??;
        let identity = self.identity_of(&principal).await.ok_or_else(|| {
            tracing::info!(principal, "the principal of a ticket is not an enabled user here");
            Denied::NoSuchPrincipal
        })?;
        Ok(Accepted { identity, token: answer.map(|answer| STANDARD.encode(answer)) })
    }

    async fn identity_of(&self, principal: &str) -> Option<Identity> {
        let name = self.principals.user_of(principal)?.parse().ok()?;
        let find = || {
            let account = self.catalog.snapshot().account(&name).cloned()?;
            (!account.disabled).then(|| Identity::user(account, AuthenticationMethod::Negotiate))
        };
        match find() {
            // Another process may just have created the user.
            None if self.catalog.has_news().await => find(),
            found => found,
        }
    }
}

/// Returns the principal that the token proves, and the token for the response. Blocks: it reads the keys and writes
/// the replay cache.
fn step(token: &[u8]) -> Result<(String, Option<Vec<u8>>), Denied> {
    let refused = |error: GssError| {
        tracing::info!("a Negotiate token was refused: {error}");
        if contains(token, NTLM_OFFERED) && contains(token, NTLM) {
            Denied::Ntlm
        } else {
            Denied::WrongTicket
        }
    };
    // Read again for each token, so that a new keytab takes effect at once.
    let keys = keys().map_err(|error| {
        tracing::error!("access.kerberos.keytab cannot be used: {error}");
        Denied::WrongTicket
    })?;
    let mut context = ServerCtx::new(Some(keys));
    let answer = context.step(token, None).map_err(refused)?;
    if !context.is_complete() {
        return Err(if contains(token, NTLM) { Denied::Ntlm } else { Denied::TooManySteps });
    }
    let principal = context.source_name().and_then(|name| text(&name)).map_err(refused)?;
    Ok((principal, answer.map(|answer| answer.to_vec())))
}

/// Acquires the keys. Browsers and curl send SPNEGO, which needs Kerberos beneath it; some clients send Kerberos alone.
fn keys() -> Result<Cred, GssError> {
    let mut mechanisms = OidSet::new();
    mechanisms.add(GSS_MECH_SPNEGO)?;
    mechanisms.add(GSS_MECH_KRB5)?;
    Cred::acquire(None, None, CredUsage::Accept, Some(&mechanisms))
}

fn text(name: &Name) -> Result<String, GssError> {
    Ok(String::from_utf8_lossy(&name.display_name()?).into_owned())
}

fn contains(token: &[u8], part: &[u8]) -> bool {
    token.windows(part.len()).any(|window| window == part)
}
