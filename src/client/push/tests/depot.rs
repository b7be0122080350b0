//! A depot that follows the API's contract for one image. It records what it was asked and what it holds.

mod state;
mod uploads;

use std::sync::{Arc, Mutex};

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

pub use self::state::{Depot, Fault, Shared};
use self::uploads::append;
use super::super::super::connection::Connection;
use super::super::super::test_server::{problem, serve};

/// Starts the depot.
pub async fn depot(depot: Depot) -> (Connection, Shared) {
    let shared = Arc::new(Mutex::new(depot));
    let kept = shared.clone();
    let connection = serve(move |routes| {
        let kept = kept.clone();
        routes.default_service(web::to(move |request: HttpRequest, payload: web::Payload| {
            answer(kept.clone(), request, payload)
        }));
    })
    .await;
    (connection, shared)
}

async fn answer(
    depot: Shared,
    request: HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let path = request.path().trim_start_matches("/api/v1").to_owned();
    let method = request.method().as_str().to_owned();
    depot.lock().unwrap().asked.push(format!("{method} {path}"));
    match (method.as_str(), path.strip_prefix("/uploads/")) {
        ("PATCH", Some(id)) => append(&depot, id, &request, payload).await,
        (_, Some(id)) => Ok(depot.lock().unwrap().session(&method, id)),
        _ => {
            let body = payload.to_bytes().await?;
            Ok(depot.lock().unwrap().call(&method, &path, &body))
        }
    }
}

impl Depot {
    fn call(&mut self, method: &str, path: &str, body: &[u8]) -> HttpResponse {
        let revision = format!("/images/disk/revisions/{}", self.number);
        let rest = path.strip_prefix(&revision);
        match (method, path) {
            ("GET", "/images/disk") => match &self.image {
                Some(image) => HttpResponse::Ok().json(image),
                None => problem(404, "unknown_image"),
            },
            ("POST", "/images") => {
                self.image = serde_json::from_slice(body).ok();
                HttpResponse::Created().json(&self.image)
            }
            ("POST", "/images/disk/revisions") => {
                self.number += 1;
                (self.state, self.files) = ("draft", Vec::new());
                let address = format!("https://elsewhere/images/disk/revisions/{}", self.number);
                HttpResponse::Created().insert_header(("Location", address)).finish()
            }
            ("PUT", "/images/disk/channels/test") => {
                HttpResponse::Ok().json(json!({ "revision": self.number, "epoch": 4 }))
            }
            ("POST", "/uploads") if self.state == "draft" => self.create(body),
            _ if self.state == "deleted" => problem(410, "deleted"),
            ("GET", _) if rest == Some("") => HttpResponse::Ok()
                .json(json!({ "number": self.number, "state": self.state, "files": self.files })),
            ("PATCH", _) if rest == Some("") => HttpResponse::Ok().finish(),
            ("DELETE", _) if rest == Some("") => {
                self.state = "deleted";
                HttpResponse::NoContent().finish()
            }
            ("POST", _) if rest == Some("/seal") && self.state == "draft" => {
                self.state = "ready";
                HttpResponse::Ok().finish()
            }
            _ => problem(404, "unknown"),
        }
    }
}
