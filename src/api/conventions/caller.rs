//! The caller of an operation. Its type in the operation's signature names the right that the operation needs.

use std::future::Future;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::authentication::{identify, may_have_credentials};
use super::client_address;
use super::problem::{Code, Problem};
use crate::access::{Denied, Identity, Permission};
use crate::catalog::{Actor, Error};
use crate::model::{ImageName, ReadAccess};
use crate::telemetry::request;

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// A caller who was recognised and has the right `P`. Extracting it from a request is the only way to make one.
pub struct Caller<P> {
    identity: Identity,
    address: IpAddr,
    right: PhantomData<P>,
}

impl<P> Caller<P> {
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the client's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the caller as the author of a change, for the catalog.
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.identity.name().to_owned(),
            roles: self.identity.roles().to_vec(),
            request_id: request::current_id(),
            address: Some(self.address.to_string()),
        }
    }

    /// Checks that the caller may create the image. A name outside of the caller's images is no secret, because the
    /// caller sent it, so the answer is 403.
    pub fn may_create(&self, image: &ImageName) -> Result<(), Problem> {
        if self.identity.covers(image) {
            return Ok(());
        }
        let detail = format!(
            "{} is limited to certain images, and {image} is not one of them",
            self.identity.name()
        );
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Checks that the caller is not confined to some images, for operations that show all images or decide for all.
    pub fn sees_all_images(&self) -> Result<(), Problem> {
        if self.identity.images().is_empty() {
            return Ok(());
        }
        let detail = format!(
            "{} is limited to certain images, but this operation concerns all images",
            self.identity.name()
        );
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Checks that the caller has rights on all images that it gives rights on.
    pub fn may_give(&self, images: &[String]) -> Result<(), Problem> {
        if self.identity.covers_all_of(images) {
            return Ok(());
        }
        let detail = format!(
            "{} is limited to {} and cannot give rights on other images",
            self.identity.name(),
            self.identity.images().join(", ")
        );
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Checks that the caller may know of the image. Callers confined to other images get the answer for an image that
    /// does not exist.
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
                    "this operation needs the right to {}, which {} does not have",
                    P::NAME,
                    identity.name()
                );
                Err(Problem::new(Code::Forbidden, detail))
            }
        })
    }
}

/// Any caller, recognised or not, for resources that are open to everyone if their channel is.
pub struct Visitor(Option<Identity>);

impl Visitor {
    /// Reports whether the caller was recognised.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Reports whether the caller was recognised and may know of the image.
    pub fn has_role_on(&self, image: &ImageName) -> bool {
        self.0.as_ref().is_some_and(|identity| identity.covers(image))
    }

    /// Checks that the caller may read the channel: 401 if it requires credentials and there were none.
    pub fn may_enter(&self, access: ReadAccess) -> Result<(), Problem> {
        match (access, &self.0) {
            (ReadAccess::Authenticated, None) => Err(Denied::Anonymous.into()),
            _ => Ok(()),
        }
    }

    /// Checks the same as [`Self::may_enter`], and answers 404 for images that the caller may not know of.
    pub fn may_read(&self, access: ReadAccess, image: &ImageName) -> Result<(), Problem> {
        self.may_enter(access)?;
        match (access, &self.0) {
            (ReadAccess::Authenticated, Some(identity)) if !identity.covers(image) => {
                Err(Error::ImageNotFound.into())
            }
            _ => Ok(()),
        }
    }

    /// Checks the same as [`Self::may_enter`], and answers 403 to callers who are confined to some images, because a
    /// manifest names all.
    pub fn may_read_all(&self, access: ReadAccess) -> Result<(), Problem> {
        self.may_enter(access)?;
        match (access, &self.0) {
            (ReadAccess::Authenticated, Some(identity)) if !identity.images().is_empty() => {
                let detail = format!(
                    "{} is limited to certain images, but this document lists all images",
                    identity.name()
                );
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
        if !may_have_credentials(request) {
            return Box::pin(std::future::ready(Ok(Self(None))));
        }
        let request = request.clone();
        Box::pin(async move { Ok(Self(identify(&request).await?)) })
    }
}
