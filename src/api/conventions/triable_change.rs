//! A change that supports a dry run: the condition on the current state, and whether it is a dry run.
//!
//! Operations that take [`TriableChange`] list [`DryRun`] among their parameters. It is then part of the OpenAPI
//! document, and [`unknown_parameters`](super::unknown_parameters) accepts it.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::web::Query;
use actix_web::{Error, FromRequest, HttpRequest};

use super::conditional::Condition;
use super::dry_run::DryRun;
use crate::catalog::{Actor, ChangeContext, Execution, Precondition};

pub struct TriableChange {
    condition: Precondition,
    pub execution: Execution,
}

impl TriableChange {
    pub const fn by<'a>(&'a self, actor: &'a Actor) -> ChangeContext<'a> {
        ChangeContext { actor, condition: &self.condition, execution: self.execution }
    }
}

impl FromRequest for TriableChange {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(read(request, payload))
    }
}

fn read(request: &HttpRequest, payload: &mut Payload) -> Result<TriableChange, Error> {
    let Condition(condition) = Condition::from_request(request, payload).into_inner()?;
    let dry_run = Query::<DryRun>::from_request(request, payload).into_inner()?;
    Ok(TriableChange { condition, execution: dry_run.execution() })
}
