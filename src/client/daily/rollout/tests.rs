//! The requests of `rollout`, against a server that keeps them.

use std::sync::{Arc, Mutex};

use actix_web::web::{self, Json, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::super::super::test_server::serve;
use super::*;

/// The changes that the server has received: the query and the body.
type Received = Arc<Mutex<Vec<(String, Value)>>>;

/// Serves an assignment whose rollout is in this state.
async fn assignment(state: &'static str) -> (Connection, Received) {
    let received = Received::default();
    let kept = received.clone();
    let document = json!({
        "image": "win7-office", "channel": "production", "revision": 12,
        "rollout": {"state": state, "percent_now": 25}, "replicas": {"have": 2, "of": 3},
    });
    let connection = serve(move |config: &mut ServiceConfig| {
        let (kept, document) = (kept.clone(), document.clone());
        let answer = document.clone();
        let change = move |request: HttpRequest, body: Json<Value>| {
            let (kept, answer) = (kept.clone(), answer.clone());
            async move {
                let change = (request.query_string().to_owned(), body.into_inner());
                kept.lock().unwrap().push(change);
                HttpResponse::Ok().json(answer)
            }
        };
        let show = move || {
            let document = document.clone();
            async move { HttpResponse::Ok().json(document) }
        };
        let resource = web::resource("/api/v1/images/win7-office/channels/production");
        config.service(resource.route(web::get().to(show)).route(web::patch().to(change)));
    })
    .await;
    (connection, received)
}

fn place() -> Place {
    Place { image: "win7-office".to_owned(), channel: "production".to_owned() }
}

fn here() -> StopArgs {
    StopArgs { place: place(), note: None }
}

async fn sent(state: &'static str, action: Action) -> Vec<(String, Value)> {
    let (connection, received) = assignment(state).await;
    act(&connection, &action, Output::Json).await.unwrap();
    received.lock().unwrap().clone()
}

#[actix_web::test]
async fn a_rollout_is_paused_and_goes_on() {
    let nothing = String::new;
    assert_eq!(
        sent("rolling", Action::Pause(here())).await,
        [(nothing(), json!({"paused": true}))]
    );
    let resumed = sent("paused", Action::Resume(here())).await;
    assert_eq!(resumed, [(nothing(), json!({"paused": false}))], "failures are not counted afresh");
    let resumed = sent("halted", Action::Resume(here())).await;
    assert_eq!(resumed, [(nothing(), json!({"paused": false, "halted": false}))]);
}

#[actix_web::test]
async fn a_change_has_only_the_fields_that_are_given() {
    let rollout = RolloutArgs::of(r#"{"halt": {"failures_percent": 5, "at_least": 20}}"#);
    let args = SetArgs { place: place(), rollout, terms: TermsArgs::default(), dry_run: true };
    let sent = sent("rolling", Action::Set(args)).await;
    let halt = json!({"halt": {"failures_percent": 5, "at_least": 20}});
    assert_eq!(sent, [("dry_run=true".to_owned(), halt)]);
}

#[actix_web::test]
async fn a_change_of_nothing_is_not_sent() {
    let (connection, received) = assignment("rolling").await;
    let (rollout, terms) = (RolloutArgs::default(), TermsArgs::default());
    let action = Action::Set(SetArgs { place: place(), rollout, terms, dry_run: false });
    let failure = act(&connection, &action, Output::Json).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(received.lock().unwrap().is_empty());
}
