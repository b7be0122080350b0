//! Addresses of the tree as people typed them for IIS, which ignored the case of the alias and accepted doubled
//! slashes.
//!
//! They are corrected before a route is looked for. The names of files and folders in the tree stay unchanged, because
//! they are looked up without regard to case anyway.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;
use actix_web::web;

use crate::api::depot::Depot;

pub fn put_right(request: &mut ServiceRequest) {
    let depot = request.app_data::<web::Data<Depot>>();
    let right = depot.and_then(|depot| right_path(&depot.links.alias, request.path()));
    if let Some(uri) = right.and_then(|path| with_path(request.uri(), &path)) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// Returns the corrected path in the tree, or none if the path is correct already or does not belong to the tree.
fn right_path(alias: &str, path: &str) -> Option<String> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let first = segments.next()?;
    if !first.eq_ignore_ascii_case(alias) || (first == alias && !path.contains("//")) {
        return None;
    }
    let mut right = format!("/{alias}");
    for segment in segments {
        right.push('/');
        right.push_str(segment);
    }
    if path.ends_with('/') {
        right.push('/');
    }
    Some(right)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them_are_put_right() {
        let right = |path: &str| right_path("MEDVImages", path);
        assert_eq!(right("/medvimages/a_1.ckm").as_deref(), Some("/MEDVImages/a_1.ckm"));
        assert_eq!(
            right("//MEDVImages//test///a_1.ckm").as_deref(),
            Some("/MEDVImages/test/a_1.ckm")
        );
        assert_eq!(right("/MedvImages/").as_deref(), Some("/MEDVImages/"));
        for as_it_stands in ["/MEDVImages/a_1.ckm", "/api/v1//images", "/", "/MEDVImages2/a"] {
            assert_eq!(right(as_it_stands), None, "{as_it_stands}");
        }
    }

    #[test]
    fn the_query_stays() {
        let uri: Uri = "/medvimages/a?b=c".parse().unwrap();
        assert_eq!(with_path(&uri, "/MEDVImages/a").unwrap(), "/MEDVImages/a?b=c");
    }
}
