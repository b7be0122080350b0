//! The query parameters of the list of images.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{Error, FromRequest, HttpRequest};
use serde::Deserialize;
use url::form_urlencoded;
use utoipa::IntoParams;

use crate::api::conventions::problem::{Code, Problem};
use crate::catalog::image::filter::{ImageConditions, LabelCondition, NamePattern};
use crate::model::refusal::Refusal;
use crate::model::{ChannelName, ImageKind};

/// The most labels that one request may name.
const MOST_LABELS: usize = 20;

/// The conditions of a list of images, besides its labels. All that are given have to hold.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImageQuery {
    /// The image's name, with `*` for any run of characters. Case is ignored.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9._*-]{1,100}$", max_length = 100, example = "win7-*")]
    name: Option<NamePattern>,
    /// The image's kind.
    kind: Option<ImageKind>,
    /// A channel to which one of the image's revisions is assigned.
    #[param(value_type = Option<String>)]
    channel: Option<ChannelName>,
}

/// The labels that images of a list must have. The parameter may be given several times, which actix's `Query` cannot
/// read.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LabelQuery {
    /// A label in the form `key:value`. May be given several times.
    #[param(value_type = Option<Vec<String>>, style = Form, explode, max_items = 20, example = json!(["owner:desktop-team"]))]
    label: Vec<LabelCondition>,
}

impl ImageQuery {
    pub fn with(self, labels: LabelQuery) -> ImageConditions {
        let Self { name, kind, channel } = self;
        ImageConditions { name, kind, labels: labels.label, channel }
    }
}

impl FromRequest for LabelQuery {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.query_string()).map_err(Into::into))
    }
}

fn read(query: &str) -> Result<LabelQuery, Problem> {
    let bad = |detail: String| Problem::new(Code::BadQuery, detail);
    let parameters = form_urlencoded::parse(query.as_bytes());
    let labels = parameters.filter(|(name, _)| name == "label").map(|(_, label)| label.parse());
    let labels = labels.collect::<Result<Vec<_>, Refusal>>();
    let label = labels.map_err(|refusal| bad(format!("the query is invalid: {}", refusal.rule)))?;
    if label.len() > MOST_LABELS {
        return Err(bad(format!("label may be given at most {MOST_LABELS} times")));
    }
    Ok(LabelQuery { label })
}
