//! A server below a path of another server (`server.public_url` is `https://example.com/images`): that path is put in
//! front of the paths in `Location` and `Link`, which would otherwise lead out of it.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};

use crate::api::depot::Depot;

const WITH_PATHS: [HeaderName; 2] = [header::LOCATION, header::LINK];

pub async fn prefix_paths<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    let depot = response.request().app_data::<web::Data<Depot>>().cloned();
    let Some(depot) = depot else { return Ok(response) };
    for name in WITH_PATHS {
        let text = response.headers().get(&name).and_then(|value| value.to_str().ok());
        let put = text.and_then(|text| below(depot.links.public_path(), text));
        if let Some(value) = put.and_then(|text| HeaderValue::try_from(text).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// Returns the value with the prefix in front of its path, or none if the value is not a path of this server.
fn below(prefix: &str, value: &str) -> Option<String> {
    let (open, path) = match value.strip_prefix('<') {
        Some(path) => ("<", path),
        None => ("", value),
    };
    let is_path = path.starts_with('/') && !path.starts_with("//");
    is_path.then(|| format!("{open}{prefix}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_public_one() {
        let below = |value: &str| below("/images", value);
        assert_eq!(below("/api/v1/users/a").as_deref(), Some("/images/api/v1/users/a"));
        assert_eq!(
            below("</api/v1/users?cursor=a>; rel=\"next\"").as_deref(),
            Some("</images/api/v1/users?cursor=a>; rel=\"next\"")
        );
        assert_eq!(below("https://example.com/images/api/v1/uploads/1"), None);
    }
}
