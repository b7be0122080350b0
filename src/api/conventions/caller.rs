//! The caller of an operation, with the right that the operation needs, in its signature.

use std::future::Future;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::authentication::{identify, may_be_known};
use super::client_address;
use super::problem::{Code, Problem};
use crate::access::{Denied, Identity, Permission};
use crate::catalog::{Actor, Error};
use crate::model::{ImageName, ReadAccess};
use crate::telemetry::request;

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// Somebody who was recognised and holds the right `P`: there is no other way to make one.
pub struct Caller<P> {
    identity: Identity,
    address: IpAddr,
    right: PhantomData<P>,
}

impl<P> Caller<P> {
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where the request comes from.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// For the catalog: who makes the change.
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.identity.name().to_owned(),
            roles: self.identity.roles().to_vec(),
            request_id: request::current_id(),
            address: Some(self.address.to_string()),
        }
    }

    /// A name outside of the caller's images is no secret, having come from the caller: 403.
    pub fn may_create(&self, image: &ImageName) -> Result<(), Problem> {
        if self.identity.covers(image) {
            return Ok(());
        }
        let detail = format!("{} is confined to other images than {image}", self.identity.name());
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// For what shows all images at once, or decides for all.
    pub fn sees_all_images(&self) -> Result<(), Problem> {
        if self.identity.images().is_empty() {
            return Ok(());
        }
        let detail =
            format!("{} is confined to some images, and this concerns all", self.identity.name());
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Nobody gives rights on images away that it has none on.
    pub fn may_give(&self, images: &[String]) -> Result<(), Problem> {
        if self.identity.covers_all_of(images) {
            return Ok(());
        }
        let detail = format!(
            "{} is confined to {} and cannot give rights on other images",
            self.identity.name(),
            self.identity.images().join(", ")
        );
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Callers that are confined to other images get the answer for one that does not exist.
    pub fn may_know(&self, image: &ImageName) -> Result<(), Problem> {
        if self.identity.covers(image) { Ok(()) } else { Err(Error::ImageNotFound.into()) }
    }
}

impl<P: Permission> FromRequest for Caller<P> {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let identity = identify(&request).await?.ok_or(Denied::Anonymous)?;
            if identity.holds_any(P::ROLES) {
                Ok(Self { identity, address: client_address::of(&request), right: PhantomData })
            } else {
                let detail = format!(
                    "this needs the right to {}, which {} does not have",
                    P::NAME,
                    identity.name()
                );
                Err(Problem::new(Code::Forbidden, detail))
            }
        })
    }
}

/// Whoever comes, known or not: for what everyone may read, where the channel says so.
pub struct Visitor(Option<Identity>);

impl Visitor {
    /// Whether there were credentials.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the caller is somebody to whom the image is no secret.
    pub fn has_role_on(&self, image: &ImageName) -> bool {
        self.0.as_ref().is_some_and(|identity| identity.covers(image))
    }

    /// 401 where the channel wants credentials and none came.
    pub fn may_enter(&self, access: ReadAccess) -> Result<(), Problem> {
        match (access, &self.0) {
            (ReadAccess::Authenticated, None) => Err(Denied::Anonymous.into()),
            _ => Ok(()),
        }
    }

    /// As [`Self::may_enter`], and 404 for images out of the caller's reach.
    pub fn may_read(&self, access: ReadAccess, image: &ImageName) -> Result<(), Problem> {
        self.may_enter(access)?;
        match (access, &self.0) {
            (ReadAccess::Authenticated, Some(identity)) if !identity.covers(image) => {
                Err(Error::ImageNotFound.into())
            }
            _ => Ok(()),
        }
    }

    /// As [`Self::may_enter`], and 403 for callers who are confined to some images: a manifest names all.
    pub fn may_read_all(&self, access: ReadAccess) -> Result<(), Problem> {
        self.may_enter(access)?;
        match (access, &self.0) {
            (ReadAccess::Authenticated, Some(identity)) if !identity.images().is_empty() => {
                let detail =
                    format!("{} is confined to some images, and this shows all", identity.name());
                Err(Problem::new(Code::Forbidden, detail))
            }
            _ => Ok(()),
        }
    }
}

impl FromRequest for Visitor {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if !may_be_known(request) {
            return Box::pin(std::future::ready(Ok(Self(None))));
        }
        let request = request.clone();
        Box::pin(async move { Ok(Self(identify(&request).await?)) })
    }
}
