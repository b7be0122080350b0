//! The rules for names, as limits and patterns wherever the document mentions a name.
//!
//! Names in bodies are recognised by their `format`, names in paths by their parameter. The rules themselves are in
//! [`crate::model::name`]; the tests compare the two.

use utoipa::openapi::path::{Parameter, ParameterIn, Paths};
use utoipa::openapi::schema::{Object, SchemaFormat};
use utoipa::openapi::{RefOr, Schema};

use super::{parameters, parts};

/// The rules for one kind of name.
struct Kind {
    format: &'static str,
    longest: usize,
    pattern: &'static str,
}

const KINDS: [Kind; 8] = [
    Kind {
        format: "image-name",
        longest: 100,
        pattern: "^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$",
    },
    Kind {
        format: "channel-name",
        longest: 40,
        pattern: "^[A-Za-z0-9]([A-Za-z0-9._-]{0,38}[A-Za-z0-9_-])?$",
    },
    Kind { format: "user-name", longest: 64, pattern: "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$" },
    Kind { format: "token-name", longest: 64, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" },
    Kind { format: "mapping-name", longest: 64, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" },
    Kind { format: "webhook-name", longest: 64, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" },
    Kind { format: "client-id", longest: 64, pattern: "^[A-Za-z0-9._-]{1,64}$" },
    Kind { format: "mirror-name", longest: 64, pattern: "^[A-Za-z0-9._-]{1,64}$" },
];

/// Sets the limits of the names in a body.
pub(super) fn limit(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    if let Schema::Object(object) = schema
        && let Some(SchemaFormat::Custom(format)) = &object.format
        && let Some(kind) = KINDS.iter().find(|kind| kind.format == format)
    {
        kind.limit(object);
    }
    parts::of(schema).into_iter().for_each(limit);
}

/// Sets the limits of the names and numbers in paths and queries.
pub(super) fn limit_parameters(paths: &mut Paths) {
    for (path, parameter) in parameters::of(paths) {
        limit_parameter(path, parameter);
    }
}

fn limit_parameter(path: &str, parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema else { return };
    let format = match (&parameter.parameter_in, parameter.name.as_str()) {
        (ParameterIn::Path, "revision") => {
            object.minimum = Some(1.into());
            return;
        }
        (_, "image") => "image-name",
        (_, "channel") => "channel-name",
        (_, "client") => "client-id",
        (ParameterIn::Path, "name") if path.contains("/users/") => "user-name",
        (ParameterIn::Path, "name") if path.contains("/mirrors/") => "mirror-name",
        (ParameterIn::Path, "name") => "mapping-name",
        _ => return,
    };
    if let Some(kind) = KINDS.iter().find(|kind| kind.format == format) {
        object.format = Some(SchemaFormat::Custom(format.to_owned()));
        kind.limit(object);
    }
}

impl Kind {
    fn limit(&self, object: &mut Object) {
        object.min_length = Some(1);
        object.max_length = Some(self.longest);
        object.pattern = Some(self.pattern.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::KINDS;
    use crate::model::{
        AccountName, ChannelName, ClientId, ImageName, MappingName, MirrorName, TokenName,
        WebhookName,
    };

    #[test]
    fn the_patterns_fit_what_the_server_takes_for_a_name() {
        type Takes = fn(&str) -> bool;
        let kinds: [(&str, Takes); KINDS.len()] = [
            ("image-name", |text| text.parse::<ImageName>().is_ok()),
            ("channel-name", |text| text.parse::<ChannelName>().is_ok()),
            ("user-name", |text| text.parse::<AccountName>().is_ok()),
            ("token-name", |text| text.parse::<TokenName>().is_ok()),
            ("mapping-name", |text| text.parse::<MappingName>().is_ok()),
            ("webhook-name", |text| text.parse::<WebhookName>().is_ok()),
            ("client-id", |text| text.parse::<ClientId>().is_ok()),
            ("mirror-name", |text| text.parse::<MirrorName>().is_ok()),
        ];
        let mut texts = vec![String::new()];
        for one in ["a", "Z", "0", ".", "_", "-", "@", ":", " ", "ä"] {
            let pairs = ["a", ".", "_", "-", "@", "/"].map(|other| format!("{one}{other}"));
            texts.push(one.to_owned());
            texts.extend(pairs);
        }
        texts.extend([40, 41, 64, 65, 100, 101].map(|length| "x".repeat(length)));
        for (format, takes) in kinds {
            let kind = KINDS.iter().find(|kind| kind.format == format).unwrap();
            let pattern = Regex::new(kind.pattern).unwrap();
            for text in &texts {
                assert_eq!(pattern.is_match(text), takes(text), "{format}: {text:?}");
            }
        }
    }
}
