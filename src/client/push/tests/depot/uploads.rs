//! Resumable uploads by the IETF draft, as far as `push` uses it, with everything that can go wrong.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::super::super::super::test_server::problem;
use super::state::{Depot, Fault, Session, Shared};
use crate::model::Digest;

/// Answers a PATCH by the IETF draft, one chunk after the other, with the requested faults.
pub async fn append(
    depot: &Shared,
    id: &str,
    request: &HttpRequest,
    mut payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let header = |name| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("Content-Type"), "application/partial-upload");
    assert_eq!(header("Upload-Complete"), "?1");
    let Some((role, fault, together)) = depot.lock().unwrap().begin_append(id) else {
        return Ok(problem(404, "unknown_upload"));
    };
    if let Some(together) = together {
        together.wait().await;
    }
    if let Some(Fault::Refuse(status, code)) = fault {
        return Ok(problem(status, code));
    }
    if let Some(answer) = depot.lock().unwrap().elsewhere(id, &header("Upload-Offset")) {
        return Ok(answer);
    }
    let mut taken = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk?;
        let limit = match fault {
            Some(Fault::Cut { after } | Fault::Hold { after }) => after,
            _ => usize::MAX,
        };
        let count = chunk.len().min(limit.saturating_sub(taken));
        depot.lock().unwrap().take(id, &chunk[..count]);
        taken += count;
        if taken < limit {
            continue;
        }
        if let Some(Fault::Cut { .. }) = fault {
            return Err(LineCut.into());
        }
        let (held, release) = {
            let depot = depot.lock().unwrap();
            (depot.held.clone(), depot.release.clone())
        };
        held.notify_one();
        release.notified().await;
        return Err(LineCut.into());
    }
    depot.lock().unwrap().finish(id, &role, fault)
}

impl Depot {
    fn begin_append(&mut self, id: &str) -> Option<(String, Option<Fault>, Option<Arc<Barrier>>)> {
        let role = self.sessions.get(id)?.role.clone();
        let position = self.faults.iter().position(|(of, _)| *of == role);
        let fault = position.map(|position| self.faults.remove(position).1);
        match fault {
            Some(Fault::FallBack { to }) => self.sessions.get_mut(id)?.bytes.truncate(to),
            Some(Fault::Lose) => {
                self.sessions.remove(id);
                return None;
            }
            _ => {}
        }
        Some((role, fault, self.together.clone()))
    }

    fn elsewhere(&self, id: &str, offset: &str) -> Option<HttpResponse> {
        let received = self.sessions[id].bytes.len();
        (offset != received.to_string()).then(|| {
            HttpResponse::Conflict()
                .insert_header(("Upload-Offset", received))
                .insert_header(("Upload-Complete", "?0"))
                .finish()
        })
    }

    fn take(&mut self, id: &str, bytes: &[u8]) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.bytes.extend_from_slice(bytes);
        }
    }

    fn finish(
        &mut self,
        id: &str,
        role: &str,
        fault: Option<Fault>,
    ) -> actix_web::Result<HttpResponse> {
        let corrupt = self.corrupt;
        let session = self.sessions.get_mut(id).unwrap();
        assert_eq!(session.bytes.len(), session.size, "other bytes than were announced");
        session.complete = true;
        let digest = Digest::of(if corrupt { b"something else" } else { &session.bytes });
        let file = json!({ "role": role, "size": session.size, "digest": digest.to_string() });
        self.files.push(file);
        match fault {
            Some(Fault::DropAnswer) => Err(LineCut.into()),
            Some(Fault::DropAnswerAndSession) => {
                self.sessions.remove(id);
                Err(LineCut.into())
            }
            _ => Ok(HttpResponse::Ok().insert_header(("Upload-Complete", "?1")).finish()),
        }
    }

    pub fn session(&mut self, method: &str, id: &str) -> HttpResponse {
        let Some(session) = self.sessions.get(id) else { return problem(404, "unknown_upload") };
        if method == "DELETE" {
            self.sessions.remove(id);
            return HttpResponse::NoContent().finish();
        }
        HttpResponse::NoContent()
            .insert_header(("Upload-Offset", session.bytes.len()))
            .insert_header(("Upload-Length", session.size))
            .insert_header(("Upload-Complete", if session.complete { "?1" } else { "?0" }))
            .finish()
    }

    pub fn create(&mut self, body: &[u8]) -> HttpResponse {
        let wanted: Value = serde_json::from_slice(body).unwrap();
        assert_eq!((&wanted["image"], &wanted["revision"]), (&json!("disk"), &json!(self.number)));
        let id = format!("upload-{}", self.count("POST /uploads"));
        let session = Session {
            role: wanted["role"].as_str().unwrap().to_owned(),
            size: usize::try_from(wanted["size"].as_u64().unwrap()).unwrap(),
            bytes: Vec::new(),
            complete: false,
        };
        self.sessions.insert(id.clone(), session);
        let location = format!("/api/v1/uploads/{id}");
        HttpResponse::Created().insert_header(("Location", location)).json(json!({ "id": id }))
    }
}

/// The error of a proxy whose server has gone.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct LineCut;

impl actix_web::ResponseError for LineCut {
    fn status_code(&self) -> actix_web::http::StatusCode {
        actix_web::http::StatusCode::BAD_GATEWAY
    }
}
