//! A depot as the contract has it, for one image: with what it was asked and what it holds.

mod uploads;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};

pub use self::uploads::Fault;
use self::uploads::{Session, append};
use super::super::super::connection::Connection;
use super::super::super::test_server::{problem, serve};

#[derive(Debug)]
pub struct Depot {
    pub image: Option<Value>,
    /// Of the newest revision.
    pub number: u64,
    pub state: &'static str,
    pub files: Vec<Value>,
    pub asked: Vec<String>,
    /// Each once, for the role named, in this order.
    pub faults: Vec<(&'static str, Fault)>,
    /// Stores something else than what arrived.
    pub corrupt: bool,
    /// Takes bytes only when so many uploads are under way.
    pub together: Option<Arc<Barrier>>,
    /// A fault holds an upload.
    pub held: Arc<Notify>,
    pub release: Arc<Notify>,
    pub sessions: BTreeMap<String, Session>,
}

pub type Shared = Arc<Mutex<Depot>>;

impl Default for Depot {
    fn default() -> Self {
        Self {
            image: None,
            number: 6,
            state: "none",
            files: Vec::new(),
            asked: Vec::new(),
            faults: Vec::new(),
            corrupt: false,
            together: None,
            held: Arc::default(),
            release: Arc::default(),
            sessions: BTreeMap::new(),
        }
    }
}

/// Starts it.
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
    /// How often this was asked.
    pub fn count(&self, request: &str) -> usize {
        self.asked.iter().filter(|asked| asked.starts_with(request)).count()
    }

    pub fn received(&self, role: &str) -> usize {
        self.sessions.values().find(|session| session.role == role).map_or(0, |of| of.bytes.len())
    }

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
