//! The reader of a stream: the events that it gets, and for how long.

use std::time::Duration;

use actix_web::HttpRequest;

use crate::access::permission::Read;
use crate::access::{AuthenticationMethod, Identity, certificate};
use crate::api::conventions::authentication::client_certificate;
use crate::api::conventions::caller::Caller;
use crate::api::conventions::problem::Problem;
use crate::api::depot::Depot;
use crate::catalog::events::feed::Told;
use crate::model::{Certificate, EventTypes, Role};

/// The time after which a stream ends whose caller's rights are not stored here: its reader shows its credentials again.
const OUTSIDERS_FOR: Duration = Duration::from_mins(10);

/// The reader of a stream.
pub struct Reader {
    identity: Identity,
    /// The certificate that the reader was identified by, if it was one.
    certificate: Option<Certificate>,
    types: EventTypes,
}

impl Reader {
    pub fn new(
        caller: &Caller<Read>,
        depot: &Depot,
        request: &HttpRequest,
        types: EventTypes,
    ) -> Result<Self, Problem> {
        let identity = caller.identity().clone();
        let is_certified = identity.way() == AuthenticationMethod::Certificate;
        let certificate = if is_certified { client_certificate(request, depot)? } else { None };
        Ok(Self { identity, certificate, types })
    }

    /// Reports whether the reader gets an event.
    pub fn gets(&self, told: &Told) -> bool {
        let may_see = told.event.is_for_readers() || self.identity.holds_any(&[Role::Admin]);
        may_see
            && self.types.include(&told.event.kind)
            && told.event.concerns(self.identity.images())
    }

    /// Reports whether the reader's credentials are still accepted.
    pub fn is_still_welcome(&self, depot: &Depot) -> bool {
        let snapshot = depot.catalog.snapshot();
        let is_known = self.identity.is_still_known(&snapshot, depot.now());
        is_known
            && self.certificate.as_ref().is_none_or(|certificate| {
                let judged = certificate::judge(&snapshot, certificate.der());
                judged.is_ok_and(|identity| identity.name() == self.identity.name())
            })
    }

    /// Returns the time after which the stream ends in any case.
    pub fn lasts_for(&self) -> Option<Duration> {
        self.identity.is_outsider().then_some(OUTSIDERS_FOR)
    }
}
