//! Every operation that the API's description names, called by everyone: by nobody in particular, by each role,
//! by whoever is confined to another image. An operation that [`table`] does not know fails the test.

pub mod table;

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::actions::{assignment_path, ckm, index};
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases};
use table::{Body, Elsewhere, Given, Operation, operations};

on_both_databases![every_operation_answers_those_who_may_call_it_and_nobody_else];

/// The client that operations are about.
const CLIENT: &str = "pc-here";

const ROLES: [&str; 5] = ["client", "reader", "publisher", "promoter", "admin"];

/// The objects that were made for one call, whose names replace the path's parameters.
pub struct Scene {
    image: String,
    channel: String,
    /// Of a user, a token, a mapping or a mirror.
    name: String,
    token: String,
    upload: String,
    webhook: String,
    delivery: String,
}

/// One depot, and somebody of each kind.
struct Cast {
    depot: Depot,
    /// By role, for all images.
    everywhere: Vec<Person>,
    /// By role, for the image `elsewhere`.
    elsewhere: Vec<Person>,
    scenes: u32,
}

async fn every_operation_answers_those_who_may_call_it_and_nobody_else(database: Database) {
    let mut cast = Cast::assemble(database).await;
    let operations = operations();
    let described = described(&cast.depot).await;
    let covered = operations.iter().map(|operation| operation.call.to_owned()).collect();
    let strangers: Vec<_> = described.symmetric_difference(&covered).collect();
    assert!(
        strangers.is_empty(),
        "described and not covered, or covered and not described: {strangers:?}"
    );
    for operation in &operations {
        cast.is_refused_to_others(operation).await;
        cast.succeeds(operation).await;
    }
}

/// Each operation of the description as `GET /path`.
async fn described(depot: &Depot) -> BTreeSet<String> {
    let document = depot.anonymous().get("/api/openapi.json").await.expecting(200).json();
    let paths = document["paths"].as_object().expect("paths");
    let methods = ["get", "head", "post", "put", "patch", "delete", "options"];
    let of = |path: &str, item: &Value| {
        let described = methods.iter().filter(|method| item.get(**method).is_some());
        described.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(|(path, item)| of(path, item)).collect()
}

impl Cast {
    async fn assemble(database: Database) -> Self {
        let depot = Depot::start(database).await;
        depot.admin().published_image("elsewhere", "test").await;
        let (mut everywhere, mut elsewhere) = (Vec::new(), Vec::new());
        for role in ROLES {
            everywhere.push(bearer(&depot, role, &json!([])).await);
            elsewhere.push(bearer(&depot, role, &json!(["elsewhere"])).await);
        }
        Self { depot, everywhere, elsewhere, scenes: 0 }
    }

    /// Nobody, each role that is too little, and enough of it for another image.
    async fn is_refused_to_others(&mut self, operation: &Operation) {
        let admin = self.depot.admin();
        let scene = self.set(operation, &admin).await;
        let nobody = scene.call(&self.depot.anonymous(), operation).await;
        if operation.is_open {
            assert!(nobody.status < 400, "{}: {}", nobody.question, nobody.text());
        } else {
            assert_eq!(nobody.status, 401, "nobody: {}", nobody.question);
            assert!(nobody.header("www-authenticate").is_some(), "{}", nobody.question);
        }
        for (number, role) in ROLES.iter().enumerate() {
            if operation.may.contains(role) {
                let answer = scene.call(&self.elsewhere[number], operation).await;
                operation.elsewhere.check(&answer, role, &scene);
            } else {
                let answer = scene.call(&self.everywhere[number], operation).await;
                assert_eq!(answer.status, 403, "{role}: {}: {}", answer.question, answer.text());
            }
        }
    }

    /// Each role that is enough, on something that is new.
    async fn succeeds(&mut self, operation: &Operation) {
        for (number, role) in ROLES.iter().enumerate() {
            if !operation.may.contains(role) {
                continue;
            }
            let caller = self.everywhere[number].clone();
            let fills = ["publisher", "admin"].contains(role);
            let maker = if fills { caller.clone() } else { self.depot.admin() };
            let scene = self.set(operation, &maker).await;
            let answer = scene.call(&caller, operation).await;
            let succeeded = (200..300).contains(&answer.status);
            assert!(succeeded, "{role}: {} answered {}", answer.question, answer.text());
        }
    }

    /// Makes what the operation is about; drafts and uploads are `maker`'s.
    async fn set(&mut self, operation: &Operation, maker: &Person) -> Scene {
        self.scenes += 1;
        let number = self.scenes;
        let mut scene = Scene {
            image: format!("here-{number}"),
            channel: "test".to_owned(),
            name: format!("somebody-{number}"),
            token: String::new(),
            upload: String::new(),
            webhook: String::new(),
            delivery: String::new(),
        };
        let admin = self.depot.admin();
        match &operation.given {
            Given::Nothing => {}
            Given::Channel => {
                scene.channel = format!("channel-{number}");
                let channel = json!({"name": scene.channel});
                admin.post("/api/v1/channels").json(&channel).await.expecting(201);
            }
            Given::User => {
                let user = json!({"name": scene.name, "password": "quite a long word", "roles": ["reader"]});
                admin.post("/api/v1/users").json(&user).await.expecting(201);
            }
            Given::Token => {
                let token =
                    json!({"name": scene.name, "roles": ["reader"], "images": [scene.image]});
                let made = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
                scene.token = id_of(&made);
            }
            Given::Mapping => {
                let mapping = Body::Mapping.json(&scene).expect("a mapping");
                admin.post("/api/v1/certificate-mappings").json(&mapping).await.expecting(201);
            }
            Given::Mirror => {
                let told = json!({"kind": "copy", "channels": [], "bytes": 0});
                let path = format!("/api/v1/mirrors/{}", scene.name);
                admin.put(&path).json(&told).await.expecting(201);
            }
            Given::Webhook => scene.prepare_webhook(&admin).await,
            Given::Delivery => {
                scene.prepare_webhook(&admin).await;
                admin.create_image(&scene.image).await;
                let path = format!("/api/v1/webhooks/{}/deliveries", scene.webhook);
                scene.delivery = eventually("the event is to be sent", async || {
                    admin.get(&path).await.expecting(200).items().first().map(id_of)
                })
                .await;
            }
            Given::Requested => {
                scene.prepare_image(&Given::Ready, maker, &admin).await;
                self.request(&scene, &admin).await;
            }
            about_image => scene.prepare_image(about_image, maker, &admin).await,
        }
        scene
    }

    /// Has another person ask for a promotion, which an administrator approves.
    async fn request(&self, scene: &Scene, admin: &Person) {
        let (name, password) = (&scene.name, "quite a long word");
        let user = json!({"name": name, "password": password, "roles": ["promoter"]});
        admin.post("/api/v1/users").json(&user).await.expecting(201);
        let asks = async |approvals: u8| {
            let channel = json!({"approvals": approvals});
            admin.patch("/api/v1/channels/test").json(&channel).await.expecting(200);
        };
        asks(2).await;
        let person = self.depot.user(name, password);
        person.promote(&scene.image, "test", 1).await.expecting(202);
        let path = format!("{}/approve", assignment_path(&scene.image, "test"));
        admin.post(&path).await.expecting(202);
        asks(0).await;
    }
}

impl Scene {
    async fn prepare_webhook(&mut self, admin: &Person) {
        let webhook = Body::Webhook.json(self).expect("a webhook");
        let made = admin.post("/api/v1/webhooks").json(&webhook).await.expecting(201).json();
        self.webhook = id_of(&made);
    }

    async fn prepare_image(&mut self, given: &Given, maker: &Person, admin: &Person) {
        let image = self.image.as_str();
        maker.create_image(image).await;
        match given {
            Given::Draft => {
                maker.draft(image).await;
            }
            Given::Filled => {
                let draft = maker.draft(image).await;
                maker.put_file(image, draft, "ckm", &ckm(1)).await.expecting(201);
                maker.put_file(image, draft, "index", &index(1)).await.expecting(201);
            }
            Given::Upload => {
                maker.draft(image).await;
                let begun =
                    maker.post("/api/v1/uploads").json(&Body::Upload.json(self).expect("one"));
                let begun = begun.await.expecting(201).json();
                self.upload = id_of(&begun);
            }
            Given::Ready => {
                maker.ready_revision(image, 1).await;
            }
            Given::Promoted => {
                maker.ready_revision(image, 1).await;
                admin.promote(image, "test", 1).await.expecting(200);
            }
            Given::Pinned => {
                maker.ready_revision(image, 1).await;
                admin.promote(image, "test", 1).await.expecting(200);
                let pin = format!("{}/pins/{CLIENT}", assignment_path(image, "test"));
                admin.put(&pin).json(&json!({"revision": 1})).await.expecting(201);
            }
            Given::Checked => {
                maker.ready_revision(image, 1).await;
                admin.promote(image, "test", 1).await.expecting(200);
                admin.check_for_update(image, "test", 0, CLIENT).await.expecting(200);
                // The client may be there from the operation before.
                eventually("the client is on record", || async {
                    let shown = admin.get(&format!("/api/v1/clients/{CLIENT}")).await;
                    (shown.status == 200).then_some(())
                })
                .await;
            }
            Given::PromotedTwice => {
                for revision in 1..=2 {
                    maker.ready_revision(image, revision).await;
                    admin.promote(image, "test", revision).await.expecting(200);
                }
            }
            _ => {}
        }
    }

    async fn call(&self, person: &Person, operation: &Operation) -> Answer {
        let (method, path) = operation.call.split_once(' ').expect("a method and a path");
        let mut path = path.to_owned();
        for (parameter, value) in [
            ("{image}", self.image.as_str()),
            ("{revision}", "1"),
            ("{role}", "ckm"),
            ("{channel}", &self.channel),
            ("{name}", &self.name),
            ("{token}", &self.token),
            ("{upload}", &self.upload),
            ("{client}", CLIENT),
            ("{webhook}", &self.webhook),
            ("{delivery}", &self.delivery),
        ] {
            path = path.replace(parameter, value);
        }
        assert!(!path.contains('{'), "{path}: the test does not know this parameter");
        path.push_str(&operation.query.replace("{image}", &self.image));
        let method: Method = method.parse().expect("a method");
        let call = person.call(&method, &path);
        match (operation.body.json(self), &operation.body) {
            (Some(json), _) => call.json(&json).await,
            (None, Body::Bytes) => call.body(ckm(1)).await,
            (None, Body::Tus) => {
                let call = call.header("Tus-Resumable", "1.0.0").header("Upload-Offset", "0");
                call.header("Content-Type", "application/offset+octet-stream").body("123").await
            }
            (None, Body::Endless) => call.begun().await,
            (None, Body::TusHeaders) => call.header("Tus-Resumable", "1.0.0").await,
            (None, _) => call.await,
        }
    }
}

impl Elsewhere {
    /// Checks the answer for a caller who is confined to another image.
    fn check(&self, answer: &Answer, role: &str, scene: &Scene) {
        let about = || format!("{role} of another image: {}: {}", answer.question, answer.text());
        match self {
            Self::Refused => assert!([403, 404].contains(&answer.status), "{}", about()),
            Self::NotShown => {
                assert_eq!(answer.status, 200, "{}", about());
                assert!(!answer.text().contains(&scene.image), "{}", about());
            }
            Self::Concerned => assert!((200..300).contains(&answer.status), "{}", about()),
        }
    }
}

fn id_of(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

/// A program that holds the role on these images; none is all.
async fn bearer(depot: &Depot, role: &str, images: &Value) -> Person {
    let reach = if images == &json!([]) { "everywhere" } else { "elsewhere" };
    let token = json!({"name": format!("{role}-{reach}"), "roles": [role], "images": images});
    let made = depot.admin().post("/api/v1/tokens").json(&token).await.expecting(201).json();
    depot.bearer(made["token"].as_str().expect("a token"))
}
