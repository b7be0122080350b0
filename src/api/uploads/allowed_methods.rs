//! The response to OPTIONS on the paths of uploads: what both protocols announce.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};

use super::limits::limits;
use crate::api::conventions::documented_routes::Routes;
use crate::api::conventions::problem::Problem;
use crate::api::depot::Depot;
use crate::wire::{resumable, tus};

/// The methods that the path accepts, from the list of routes.
pub struct AllowedMethods {
    allowed: String,
}

impl FromRequest for AllowedMethods {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let routes = request.app_data::<Data<Routes>>();
        let allowed = routes.and_then(|routes| routes.allowed(request.path()));
        ready(allowed.map(|allowed| Self { allowed }).ok_or_else(Problem::not_found))
    }
}

impl AllowedMethods {
    /// Answers for both protocols.
    pub fn answer(self, depot: &Depot) -> HttpResponse {
        HttpResponse::NoContent()
            .insert_header((header::ALLOW, self.allowed))
            .insert_header((tus::TUS_RESUMABLE.clone(), tus::VERSION))
            .insert_header((tus::TUS_VERSION.clone(), tus::VERSION))
            .insert_header((tus::TUS_EXTENSION.clone(), tus::EXTENSIONS))
            .insert_header((tus::TUS_CHECKSUM_ALGORITHM.clone(), tus::CHECKSUM_ALGORITHMS))
            .insert_header((tus::TUS_MAX_SIZE.clone(), limits(depot).max_size))
            .insert_header((resumable::UPLOAD_LIMIT.clone(), limits(depot).to_string()))
            .insert_header((resumable::ACCEPT_PATCH.clone(), ACCEPTED))
            .finish()
    }

    /// Answers for the IETF draft only, on the path of a file, where no tus upload can begin.
    pub fn answer_for_file(self, depot: &Depot) -> HttpResponse {
        HttpResponse::NoContent()
            .insert_header((header::ALLOW, self.allowed))
            .insert_header((resumable::UPLOAD_LIMIT.clone(), limits(depot).to_string()))
            .finish()
    }
}

/// The media types of a PATCH. Clients of the draft's versions 10 to 12 look for them; later ones look for
/// `Upload-Limit`.
const ACCEPTED: &str = "application/partial-upload, application/offset+octet-stream";
