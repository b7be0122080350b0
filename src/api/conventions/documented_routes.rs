//! Every path of the OpenAPI document with its methods, and the query parameters of each method: the router itself does
//! not provide them.

use std::collections::BTreeMap;

use actix_web::http::Method;
use serde::Deserialize;

use crate::wire;

/// The name of the query parameter that asks for a dry run.
pub const DRY_RUN: &str = "dry_run";

/// Every path with its methods.
#[derive(Clone, Default)]
pub struct Routes(Vec<Route>);

#[derive(Clone)]
struct Route {
    segments: Vec<String>,
    methods: Vec<&'static str>,
    /// The query parameters of each method, in the order of `methods`.
    parameters: Vec<Vec<String>>,
}

/// The part of the document that is read here.
#[derive(Default, Deserialize)]
struct Document {
    paths: BTreeMap<String, Item>,
}

#[derive(Deserialize)]
struct Item {
    get: Option<Operation>,
    head: Option<Operation>,
    post: Option<Operation>,
    put: Option<Operation>,
    patch: Option<Operation>,
    delete: Option<Operation>,
}

#[derive(Deserialize)]
struct Operation {
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    r#in: String,
}

impl Routes {
    /// Reads the routes from the text of the document. The document is part of the binary; tests show that it is valid.
    pub fn of(document: &str) -> Self {
        let document: Document = serde_json::from_str(document).unwrap_or_default();
        Self(document.paths.iter().map(|(path, item)| Route::of(path, item)).collect())
    }

    /// Returns the query parameters of an operation, or none if there is no such operation, which is refused elsewhere.
    pub fn parameters(&self, path: &str, method: &Method) -> Option<&[String]> {
        let route = self.find(path)?;
        let index = route.methods.iter().position(|known| *known == method.as_str())?;
        route.parameters.get(index).map(Vec::as_slice)
    }

    fn find(&self, path: &str) -> Option<&Route> {
        let path: Vec<&str> = segments(path).collect();
        self.0.iter().find(|route| route.matches(&path))
    }

    /// Adds files below a path, which are not part of the document.
    #[must_use]
    pub fn with_files_below(mut self, path: &str) -> Self {
        let mut segments: Vec<String> = segments(path).map(str::to_owned).collect();
        segments.push("**".to_owned());
        self.0.push(Route {
            segments,
            methods: vec!["GET", "HEAD", wire::bits::METHOD],
            parameters: Vec::new(),
        });
        self
    }

    /// Returns the methods of a path, formatted for `Allow`.
    pub fn allowed(&self, path: &str) -> Option<String> {
        self.find(path).map(|route| route.methods.join(", "))
    }
}

impl Route {
    fn of(path: &str, item: &Item) -> Self {
        let operations = [
            ("GET", &item.get),
            ("HEAD", if item.head.is_some() { &item.head } else { &item.get }),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        let present = operations
            .iter()
            .filter_map(|(method, operation)| Some((*method, (*operation).as_ref()?)));
        Self {
            segments: segments(path).map(str::to_owned).collect(),
            methods: present.clone().map(|(method, _)| method).collect(),
            parameters: present.map(|(_, operation)| query_parameters(operation)).collect(),
        }
    }

    fn matches(&self, path: &[&str]) -> bool {
        if self.segments.last().is_some_and(|last| last == "**") {
            let fixed = &self.segments[..self.segments.len() - 1];
            return path.len() > fixed.len()
                && fixed.iter().zip(path).all(|(segment, given)| segment == given);
        }
        path.len() == self.segments.len()
            && self
                .segments
                .iter()
                .zip(path)
                .all(|(segment, given)| segment == given || segment.starts_with('{'))
    }
}

fn query_parameters(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter();
    parameters
        .filter(|parameter| parameter.r#in == "query")
        .map(|parameter| parameter.name.clone())
        .collect()
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}
