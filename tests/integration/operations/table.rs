//! All operations: who may call each, what it needs to be there, what it is sent.

use serde_json::{Value, json};

use super::Scene;

/// One operation and those who may call it.
pub struct Operation {
    /// The operation as the description has it: `GET /path/{parameter}`.
    pub call: &'static str,
    pub query: &'static str,
    /// Roles.
    pub may: &'static [&'static str],
    /// Set if anonymous callers may call it, too.
    pub is_open: bool,
    pub given: Given,
    pub body: Body,
    pub elsewhere: Elsewhere,
}

/// The object that exists before the call.
pub enum Given {
    Nothing,
    Channel,
    User,
    Token,
    Mapping,
    Image,
    Draft,
    /// A draft with both files.
    Filled,
    Upload,
    /// A sealed revision.
    Ready,
    Promoted,
    PromotedTwice,
    /// Promoted, and a client is pinned to it.
    Pinned,
    /// A promotion that another person has asked for, and an administrator has approved; more have to.
    Requested,
    /// A client on record, which asked about the image.
    Checked,
    /// A mirror on record.
    Mirror,
    Webhook,
    /// A webhook, and an event that is to be sent to it.
    Delivery,
}

/// The body of the call.
pub enum Body {
    Nothing,
    Fixed(Value),
    Image,
    Channel,
    User,
    Token,
    Mapping,
    Upload,
    /// Of a file.
    Bytes,
    /// The bytes of an upload.
    Tus,
    TusHeaders,
    /// None; the answer is a stream without end.
    Endless,
    /// What a client did.
    Report,
    Webhook,
}

/// The outcome of an operation for a caller who is confined to other images.
pub enum Elsewhere {
    Refused,
    /// It answers, and leaves out what is of other images.
    NotShown,
    /// It has nothing to do with images, or everyone may know.
    Concerned,
}

const EVERYONE: &[&str] = &["client", "reader", "publisher", "promoter", "admin"];
const READERS: &[&str] = &["reader", "publisher", "promoter", "admin"];
const PUBLISHERS: &[&str] = &["publisher", "admin"];
/// To `test`, where publishers may.
const PROMOTERS: &[&str] = &["publisher", "promoter", "admin"];
const REVOKERS: &[&str] = &["promoter", "admin"];
const ADMINS: &[&str] = &["admin"];

impl Body {
    /// The JSON of a body that is one.
    pub fn json(&self, scene: &Scene) -> Option<Value> {
        let (image, name) = (&scene.image, &scene.name);
        Some(match self {
            Self::Fixed(json) => json.clone(),
            Self::Image => json!({"name": image, "kind": "medv"}),
            Self::Channel => json!({"name": format!("for-{image}")}),
            Self::User => {
                json!({"name": name, "password": "quite a long word", "roles": ["reader"]})
            }
            Self::Token => json!({"name": name, "roles": ["reader"], "images": [image]}),
            Self::Mapping => {
                let rules = json!([{"field": "subject", "attribute": "CN", "match": name}]);
                json!({"name": name, "user": "admin", "rules": rules})
            }
            Self::Report => {
                json!({"image": image, "channel": "test", "revision": 1, "status": "applied"})
            }
            Self::Webhook => {
                json!({"name": name, "url": "https://127.0.0.1:1/", "types": ["image.created"]})
            }
            Self::Upload => json!({"image": image, "revision": 1, "role": "ckm", "size": 3}),
            Self::Nothing | Self::Bytes | Self::Tus | Self::TusHeaders | Self::Endless => {
                return None;
            }
        })
    }
}

impl Operation {
    fn new(call: &'static str, may: &'static [&'static str], given: Given) -> Self {
        let (body, elsewhere) = (Body::Nothing, Elsewhere::Refused);
        Self { call, query: "", may, is_open: false, given, body, elsewhere }
    }

    /// For everyone, known or not.
    fn open(call: &'static str, given: Given) -> Self {
        let elsewhere = Elsewhere::Concerned;
        Self { is_open: true, elsewhere, ..Self::new(call, EVERYONE, given) }
    }

    fn sends(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    fn asks(mut self, query: &'static str) -> Self {
        self.query = query;
        self
    }

    fn but_elsewhere(mut self, elsewhere: Elsewhere) -> Self {
        self.elsewhere = elsewhere;
        self
    }
}

pub fn operations() -> Vec<Operation> {
    let groups =
        [for_everyone(), of_images(), of_files(), of_channels(), of_access(), of_webhooks()];
    groups.into_iter().flatten().collect()
}

fn for_everyone() -> Vec<Operation> {
    let open = |call| Operation::open(call, Given::Nothing);
    let check = |call| Operation::open(call, Given::Promoted);
    let question =
        json!([{"image": "elsewhere", "channel": "test", "revision": 0, "client": "pc-1"}]);
    vec![
        open("GET /livez"),
        open("GET /readyz"),
        open("GET /api/v1/keys"),
        open("GET /api/v1/trust/root.json"),
        open("OPTIONS /api/v1/uploads"),
        open("OPTIONS /api/v1/uploads/{upload}"),
        open("OPTIONS /api/v1/images/{image}/revisions/{revision}/files/{role}"),
        check("GET /api/v1/update-check")
            .asks("?image={image}&channel=test&revision=0&client=pc-1"),
        check("POST /api/v1/update-check").sends(Body::Fixed(question)),
    ]
}

fn of_images() -> Vec<Operation> {
    let all = |call, may, given| Operation::new(call, may, given);
    let words = || Body::Fixed(json!({"notes": "January patches"}));
    vec![
        all("GET /api/v1/images", READERS, Given::Image).but_elsewhere(Elsewhere::NotShown),
        all("POST /api/v1/images", PUBLISHERS, Given::Nothing).sends(Body::Image),
        all("GET /api/v1/images/{image}", READERS, Given::Image),
        all("PATCH /api/v1/images/{image}", PUBLISHERS, Given::Image)
            .sends(Body::Fixed(json!({"description": "with Office"}))),
        all("DELETE /api/v1/images/{image}", ADMINS, Given::Image),
        all("GET /api/v1/images/{image}/revisions", READERS, Given::Draft),
        all("POST /api/v1/images/{image}/revisions", PUBLISHERS, Given::Image).sends(words()),
        all("GET /api/v1/images/{image}/revisions/{revision}", READERS, Given::Draft),
        all("PATCH /api/v1/images/{image}/revisions/{revision}", PUBLISHERS, Given::Draft)
            .sends(words()),
        all("DELETE /api/v1/images/{image}/revisions/{revision}", PUBLISHERS, Given::Draft),
        all("GET /api/v1/images/{image}/revisions/{revision}/delta", READERS, Given::PromotedTwice)
            .asks("?from=2"),
        all("POST /api/v1/images/{image}/revisions/{revision}/seal", PUBLISHERS, Given::Filled),
        all("POST /api/v1/images/{image}/revisions/{revision}/revoke", REVOKERS, Given::Ready),
    ]
}

fn of_files() -> Vec<Operation> {
    let all = |call, may, given| Operation::new(call, may, given);
    vec![
        all("GET /api/v1/images/{image}/revisions/{revision}/files/{role}", READERS, Given::Ready),
        all("HEAD /api/v1/images/{image}/revisions/{revision}/files/{role}", READERS, Given::Ready),
        all("GET /api/v1/images/{image}/revisions/{revision}/prestage", READERS, Given::Ready),
        all("HEAD /api/v1/images/{image}/revisions/{revision}/prestage", READERS, Given::Ready),
        all(
            "PUT /api/v1/images/{image}/revisions/{revision}/files/{role}",
            PUBLISHERS,
            Given::Draft,
        )
        .sends(Body::Bytes),
        all("GET /api/v1/uploads", ADMINS, Given::Upload).but_elsewhere(Elsewhere::NotShown),
        all("POST /api/v1/uploads", PUBLISHERS, Given::Draft).sends(Body::Upload),
        all("GET /api/v1/uploads/{upload}", PUBLISHERS, Given::Upload),
        all("HEAD /api/v1/uploads/{upload}", PUBLISHERS, Given::Upload).sends(Body::TusHeaders),
        all("PATCH /api/v1/uploads/{upload}", PUBLISHERS, Given::Upload).sends(Body::Tus),
        all("DELETE /api/v1/uploads/{upload}", PUBLISHERS, Given::Upload).sends(Body::TusHeaders),
    ]
}

fn of_channels() -> Vec<Operation> {
    let all = |call, may, given| Operation::new(call, may, given);
    let concerned = |operation: Operation| operation.but_elsewhere(Elsewhere::Concerned);
    vec![
        concerned(all("GET /api/v1/channels", READERS, Given::Channel)),
        all("POST /api/v1/channels", ADMINS, Given::Nothing).sends(Body::Channel),
        concerned(all("GET /api/v1/channels/{channel}", READERS, Given::Channel)),
        all("PATCH /api/v1/channels/{channel}", ADMINS, Given::Channel)
            .sends(Body::Fixed(json!({"keep_old": 2}))),
        all("DELETE /api/v1/channels/{channel}", ADMINS, Given::Channel),
        all("GET /api/v1/images/{image}/channels", READERS, Given::Promoted),
        all("GET /api/v1/images/{image}/channels/{channel}", READERS, Given::Promoted),
        all("PUT /api/v1/images/{image}/channels/{channel}", PROMOTERS, Given::Ready)
            .sends(Body::Fixed(json!({"revision": 1}))),
        all(
            "POST /api/v1/images/{image}/channels/{channel}/rollback",
            PROMOTERS,
            Given::PromotedTwice,
        ),
        all("DELETE /api/v1/images/{image}/channels/{channel}", PROMOTERS, Given::Promoted),
        all("PATCH /api/v1/images/{image}/channels/{channel}", PROMOTERS, Given::Promoted)
            .sends(Body::Fixed(json!({"percent": 25}))),
        all("POST /api/v1/images/{image}/channels/{channel}/approve", PROMOTERS, Given::Requested),
        all(
            "DELETE /api/v1/images/{image}/channels/{channel}/approve",
            PROMOTERS,
            Given::Requested,
        ),
        all("GET /api/v1/images/{image}/channels/{channel}/progress", READERS, Given::Promoted),
        all("GET /api/v1/images/{image}/channels/{channel}/pins", READERS, Given::Pinned),
        all("GET /api/v1/images/{image}/channels/{channel}/pins/{client}", READERS, Given::Pinned),
        all("PUT /api/v1/images/{image}/channels/{channel}/pins/{client}", PROMOTERS, Given::Ready)
            .sends(Body::Fixed(json!({"revision": 1}))),
        all(
            "DELETE /api/v1/images/{image}/channels/{channel}/pins/{client}",
            PROMOTERS,
            Given::Pinned,
        ),
        all("GET /api/v1/update-check/explain", READERS, Given::Promoted)
            .asks("?image={image}&channel=test"),
        all("GET /api/v1/images/{image}/promotions", READERS, Given::Promoted),
        all("GET /api/v1/clients", READERS, Given::Checked).but_elsewhere(Elsewhere::NotShown),
        all("DELETE /api/v1/clients", ADMINS, Given::Nothing).asks("?q=nobody-*"),
        all("GET /api/v1/clients/{client}", READERS, Given::Checked),
        all("POST /api/v1/clients/{client}/reports", EVERYONE, Given::Promoted).sends(Body::Report),
        all("DELETE /api/v1/clients/{client}", ADMINS, Given::Checked),
        all("GET /api/v1/mirrors", READERS, Given::Mirror),
        all("PUT /api/v1/mirrors/{name}", EVERYONE, Given::Nothing)
            .sends(Body::Fixed(json!({"kind": "copy", "channels": [], "bytes": 0}))),
        all("DELETE /api/v1/mirrors/{name}", ADMINS, Given::Mirror),
        all("GET /api/v1/publications", READERS, Given::Promoted),
        all("POST /api/v1/publications/reconcile", ADMINS, Given::Nothing),
        all("POST /api/v1/gc", ADMINS, Given::Nothing),
        all("GET /api/v1/scrub", READERS, Given::Nothing),
        all("POST /api/v1/scrub", ADMINS, Given::Nothing),
        all("GET /api/v1/status", READERS, Given::Nothing),
    ]
}

fn of_access() -> Vec<Operation> {
    let all = |call, may, given| Operation::new(call, may, given);
    let concerned = |operation: Operation| operation.but_elsewhere(Elsewhere::Concerned);
    vec![
        concerned(all("GET /api/v1/whoami", EVERYONE, Given::Nothing)),
        concerned(all("GET /metrics", READERS, Given::Promoted)),
        all("GET /api/v1/audit", ADMINS, Given::Image),
        all("GET /api/v1/events", READERS, Given::Image)
            .but_elsewhere(Elsewhere::NotShown)
            .sends(Body::Endless),
        all("GET /api/v1/users", ADMINS, Given::User),
        all("POST /api/v1/users", ADMINS, Given::Nothing).sends(Body::User),
        all("GET /api/v1/users/{name}", ADMINS, Given::User),
        all("PATCH /api/v1/users/{name}", ADMINS, Given::User)
            .sends(Body::Fixed(json!({"roles": ["promoter"]}))),
        all("DELETE /api/v1/users/{name}", ADMINS, Given::User),
        all("GET /api/v1/tokens", ADMINS, Given::Token).but_elsewhere(Elsewhere::NotShown),
        all("POST /api/v1/tokens", ADMINS, Given::Nothing).sends(Body::Token),
        all("GET /api/v1/tokens/{token}", ADMINS, Given::Token),
        all("DELETE /api/v1/tokens/{token}", ADMINS, Given::Token),
        all("GET /api/v1/certificate-mappings", ADMINS, Given::Mapping),
        all("POST /api/v1/certificate-mappings", ADMINS, Given::Nothing).sends(Body::Mapping),
        all("GET /api/v1/certificate-mappings/{name}", ADMINS, Given::Mapping),
        all("DELETE /api/v1/certificate-mappings/{name}", ADMINS, Given::Mapping),
    ]
}

fn of_webhooks() -> Vec<Operation> {
    let all = |call, given| Operation::new(call, ADMINS, given);
    vec![
        all("GET /api/v1/webhooks", Given::Webhook),
        all("POST /api/v1/webhooks", Given::Nothing).sends(Body::Webhook),
        all("GET /api/v1/webhooks/{webhook}", Given::Webhook),
        all("PATCH /api/v1/webhooks/{webhook}", Given::Webhook)
            .sends(Body::Fixed(json!({"active": false}))),
        all("DELETE /api/v1/webhooks/{webhook}", Given::Webhook),
        all("POST /api/v1/webhooks/{webhook}/rotate", Given::Webhook),
        all("POST /api/v1/webhooks/{webhook}/test", Given::Webhook),
        all("GET /api/v1/webhooks/{webhook}/deliveries", Given::Webhook),
        all("POST /api/v1/webhooks/{webhook}/deliveries/{delivery}/retry", Given::Delivery),
    ]
}
