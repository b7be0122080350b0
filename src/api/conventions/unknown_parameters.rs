//! Refuses query parameters that the operation does not know, and suggests the most similar one that it knows.
//! Otherwise a fleet's script that misspells `revision` would be told to make a first installation for ever.
//!
//! The GET of the update check is excluded: the type of its query refuses unknown parameters, because it is requested
//! too often for a look-up.

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::web;

use super::documented_routes::{DRY_RUN, Routes};
use super::problem::{Code, Problem};

const BELOW: &str = "/api/v1/";
const UPDATE_CHECK: &str = "/api/v1/update-check";

/// The similarity beyond which one name is taken to mean the other; 1 means that they are equal.
const ALIKE: f64 = 0.7;

/// Returns a 400 if the query has an unknown parameter.
pub fn refusal(request: &ServiceRequest) -> Option<Problem> {
    let (path, query) = (request.path(), request.query_string());
    let is_get_check = path == UPDATE_CHECK && *request.method() == Method::GET;
    if query.is_empty() || !path.starts_with(BELOW) || is_get_check {
        return None;
    }
    let routes = request.app_data::<web::Data<Routes>>()?;
    let known = routes.parameters(path, request.method())?;
    let mut names = query.split('&').filter(|parameter| !parameter.is_empty());
    let name = names.find_map(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default();
        (!known.iter().any(|known| known == name)).then_some(name)
    })?;
    if name == DRY_RUN {
        let detail =
            "this operation does not support dry_run: leave it out to carry out the operation";
        return Some(Problem::new(Code::DryRunUnsupported, detail));
    }
    Some(Problem::new(Code::UnknownParameter, refusal_of(name, known)))
}

/// Returns the refusal of a name that is not in `known`.
pub fn refusal_of<S: AsRef<str>>(name: &str, known: &[S]) -> String {
    let name: String = name.chars().take(100).collect();
    let known = || known.iter().map(AsRef::as_ref);
    let nearest = known()
        .map(|known| (strsim::jaro(&name.to_ascii_lowercase(), known), known))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let hint = match nearest {
        Some((_, nearest)) => format!("did you mean {nearest}?"),
        None if known().next().is_none() => "the operation has no parameters".to_owned(),
        None => format!("its parameters are {}", known().collect::<Vec<_>>().join(", ")),
    };
    format!("{name:?} is not a query parameter of this operation ({hint}); nothing was done")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told() {
        let known = ["image", "channel", "revision", "client"];
        assert!(refusal_of("revison", &known).contains("did you mean revision?"));
        assert!(refusal_of("dry-run", &["dry_run"]).contains("did you mean dry_run?"));
        assert!(refusal_of("zzz", &known).contains("are image, channel, revision, client"));
    }
}
