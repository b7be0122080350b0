//! The structure of the code: dependencies between rooms go one way, no files form a circle, and every file says what
//! it is.
//!
//! Rust itself does not hold modules of one crate apart. Rejected: a crate for each room, which
//! would make every small step through the rooms a change of several manifests.

mod circles;
mod imports;
mod rooms;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imports::{Arrow, Sources, arrows};
use rooms::{Room, rooms};
use syn::visit::Visit;

use crate::harness::project::project;

/// Lines that a file may have; tests are lists of cases and may be longer.
const LONGEST_FILE: usize = 400;

fn sources() -> Sources {
    let folder = project().join("src");
    let read = |path: String| {
        let text = std::fs::read_to_string(folder.join(&path)).expect("read a source file");
        (path, text)
    };
    let files = crate::harness::folder::files_below(&folder).into_keys();
    files
        .filter(|path| Path::new(path).extension().is_some_and(|ext| ext == "rs"))
        .map(read)
        .collect()
}

fn room_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("/tests.rs") || file.contains("test_")
}

/// Arrows between rooms that the list of rooms does not have.
fn forbidden<'a>(arrows: &'a [Arrow], rooms: &[Room]) -> Vec<&'a Arrow> {
    let is_allowed = |arrow: &&Arrow| {
        let (own, other) = (room_of(&arrow.from), room_of(&arrow.to));
        let room = rooms.iter().find(|room| room.name == own);
        own == other
            || own == "lib"
            || room.is_some_and(|room| room.uses.iter().any(|used| used == other))
    };
    arrows.iter().filter(|arrow| !is_allowed(arrow)).collect()
}

fn told(arrow: &Arrow) -> String {
    format!("src/{}:{} names {} of src/{}", arrow.from, arrow.line, arrow.path, arrow.to)
}

fn told_circles(arrows: &[Arrow]) -> Vec<String> {
    let lines = |circle: Vec<&Arrow>| circle.into_iter().map(told).collect::<Vec<_>>().join("\n  ");
    circles::circles(arrows).into_iter().map(lines).collect()
}

#[test]
fn a_room_uses_only_the_rooms_that_the_list_allows() {
    let arrows = arrows(&sources());
    let wrong: Vec<_> = forbidden(&arrows, &rooms()).into_iter().map(told).collect();
    assert!(wrong.is_empty(), "against the list in ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_form_a_circle() {
    let found = told_circles(&arrows(&sources()));
    assert!(found.is_empty(), "{} circles:\n  {}", found.len(), found.join("\n\n  "));
}

#[test]
fn the_list_of_rooms_is_what_there_is() {
    let sources = sources();
    let there: BTreeSet<&str> =
        sources.keys().map(|file| room_of(file)).filter(|room| *room != "lib").collect();
    let rooms = rooms();
    let listed: BTreeSet<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
    assert_eq!(listed, there, "ARCHITECTURE.md lists other rooms than src has");
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let arrows = arrows(&sources);
    for arrow in arrows.iter().filter(|arrow| room_of(&arrow.from) != room_of(&arrow.to)) {
        used.entry(room_of(&arrow.from)).or_default().insert(room_of(&arrow.to));
    }
    for (index, room) in rooms.iter().enumerate() {
        let earlier = |name: &String| rooms[..index].iter().any(|earlier| earlier.name == *name);
        assert!(room.uses.iter().all(earlier), "{} may use only rooms listed before it", room.name);
        let listed: BTreeSet<&str> = room.uses.iter().map(String::as_str).collect();
        assert_eq!(
            listed,
            used.remove(room.name.as_str()).unwrap_or_default(),
            "{} uses",
            room.name
        );
    }
}

/// Methods are called without a path: a room could reach up by those that a higher room gives to its types. Tests of
/// uploads do: they play what a restart and a sweep find.
#[test]
fn no_room_calls_methods_that_a_higher_room_gives_to_its_types() {
    let sources = sources();
    let (mut given, mut calls) = (BTreeMap::new(), Vec::new());
    for (file, text) in &sources {
        let mut methods = Methods::default();
        methods.visit_file(&syn::parse_file(text).expect("parse a source file"));
        if room_of(file) == "upkeep" {
            given.extend(methods.given_to_catalog.into_iter().map(|name| (name, file.clone())));
        }
        calls.extend(methods.called.into_iter().map(|name| (file.clone(), name)));
    }
    assert!(given.contains_key(&("keep_sweeping".to_owned(), 0)), "{given:?}");
    let below = ["model", "wire", "storage", "prestage", "catalog"];
    // What a lower room has under the same name is its own.
    for (file, text) in &sources {
        if below.contains(&room_of(file)) {
            given.retain(|(name, _), _| !text.contains(&format!("fn {name}(")));
        }
    }
    let wrong: Vec<_> = calls
        .iter()
        .filter(|(file, name)| {
            below.contains(&room_of(file)) && !is_test(file) && given.contains_key(name)
        })
        .map(|(file, name)| format!("src/{file} calls {} of src/{}", name.0, given[name]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reports whether another room may call it; the compiler keeps others from calling what is private to its room.
fn may_be_called_from_below(visibility: &syn::Visibility) -> bool {
    match visibility {
        syn::Visibility::Public(_) => true,
        syn::Visibility::Restricted(restricted) => restricted.path.is_ident("crate"),
        syn::Visibility::Inherited => false,
    }
}

#[derive(Default)]
struct Methods {
    /// By name and number of arguments.
    given_to_catalog: Vec<(String, usize)>,
    called: Vec<(String, usize)>,
}

impl<'ast> Visit<'ast> for Methods {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let is_catalog =
            matches!(&*item.self_ty, syn::Type::Path(path) if path.path.is_ident("Catalog"));
        for item in item.items.iter().filter(|_| is_catalog) {
            if let syn::ImplItem::Fn(method) = item
                && may_be_called_from_below(&method.vis)
            {
                self.given_to_catalog.push((
                    method.sig.ident.to_string(),
                    method.sig.inputs.len().saturating_sub(1),
                ));
            }
        }
        syn::visit::visit_item_impl(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.called.push((call.method.to_string(), call.args.len()));
        syn::visit::visit_expr_method_call(self, call);
    }
}

#[test]
fn every_file_opens_with_what_it_is() {
    let sources = sources();
    let silent: Vec<_> = sources
        .iter()
        .filter(|(_, text)| !(text.starts_with("//! ") || text.starts_with("#![doc = ")))
        .map(|(file, _)| file)
        .collect();
    assert!(silent.is_empty(), "these do not open with //!: {silent:?}");
}

#[test]
fn files_are_short() {
    let sources = sources();
    let lines = |(file, text): (&String, &String)| (text.lines().count(), file.clone());
    let mut lengths: Vec<_> =
        sources.iter().filter(|(file, _)| !is_test(file)).map(lines).collect();
    lengths.sort();
    let long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > LONGEST_FILE).collect();
    assert!(long.is_empty(), "over {LONGEST_FILE} lines: has it two subjects? {long:?}");
    let (median, _) = lengths[lengths.len() / 2];
    assert!(median <= 150, "the median of all files is {median} lines");
}

#[test]
fn the_catalog_speaks_neither_http_nor_sql() {
    for (file, text) in sources().iter().filter(|(file, _)| room_of(file) == "catalog") {
        for word in ["actix_web", "StatusCode", "sqlx::query", "SELECT ", "INSERT INTO"] {
            assert!(!text.contains(word), "src/{file} has {word}");
        }
    }
}

/// Requires that metrics are named only by the table's constants, so that the table has them all.
#[test]
fn metrics_have_their_names_from_the_table_alone() {
    let table = ["model/metric.rs", "telemetry/metrics.rs"];
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for call in ["counter!(", "gauge!(", "histogram!("] {
            for (place, _) in text.match_indices(call) {
                let named = text[place + call.len()..].trim_start().starts_with('"');
                if named || !table.contains(&file.as_str()) {
                    wrong.push(format!("src/{file} calls {call})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_catalog_and_its_upkeep_alone_begin_transactions() {
    for (file, text) in sources() {
        let may = ["storage", "catalog", "upkeep"].contains(&room_of(&file));
        assert!(may || !text.contains(".db."), "src/{file} reaches into the catalog's rows");
    }
}

/// The test of the tests: each form in which a file can name another one, and a circle, are found.
mod found_out {
    use super::*;

    fn made(files: &[(&str, &str)]) -> Vec<Arrow> {
        arrows(&files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
    }

    fn pairs(arrows: &[Arrow]) -> Vec<(&str, &str)> {
        arrows.iter().map(|arrow| (arrow.from.as_str(), arrow.to.as_str())).collect()
    }

    #[test]
    fn a_name_is_found_in_every_form_of_use() {
        let other = ("model/name.rs", "pub struct Name; pub const X: u8 = 1;");
        let forms = [
            "use crate::model::name::Name;",
            "use crate::{model::{name::{self, X}}};",
            "use crate::model::name as other; fn f() { other::Name; }",
            "fn f() -> crate::model::name::Name { todo!() }",
            "fn f() { println!(\"{}\", crate::model::name::X); }",
            "#[serde(with = crate::model::name::X)] struct S;",
            "mod tests { use super::super::model::name::X; }",
            "use crate::model::Name;",
        ];
        for form in forms {
            let model = ("model.rs", "pub mod name; pub use name::Name;");
            let arrows =
                made(&[("lib.rs", "pub mod model; pub mod api;"), model, other, ("api.rs", form)]);
            assert_eq!(
                pairs(&arrows).into_iter().collect::<BTreeSet<_>>(),
                BTreeSet::from([("api.rs", "model/name.rs")]),
                "{form}"
            );
        }
    }

    #[test]
    fn an_arrow_that_runs_up_is_told_with_its_line() {
        let arrows = made(&[
            ("model.rs", "//! Model.\nuse crate::api::Page;"),
            ("api.rs", "pub struct Page; use crate::model;"),
        ]);
        let model = Room { name: "model".to_owned(), uses: Vec::new() };
        let api = Room { name: "api".to_owned(), uses: vec!["model".to_owned()] };
        let wrong: Vec<_> = forbidden(&arrows, &[model, api]).into_iter().map(told).collect();
        assert_eq!(wrong, ["src/model.rs:2 names crate::api::Page of src/api.rs"]);
    }

    #[test]
    fn a_circle_is_told_with_all_that_makes_it() {
        let arrows = made(&[
            ("a.rs", "pub mod x; use x::X; pub struct A;"),
            ("a/x.rs", "pub struct X; use crate::b::B;"),
            ("b.rs", "pub struct B; fn f(_: super::a::A) {}"),
        ]);
        let circles = told_circles(&arrows);
        assert_eq!(circles.len(), 1, "{circles:?}");
        for line in [
            "src/a.rs:1 names x::X of src/a/x.rs",
            "src/a/x.rs:1 names crate::b::B of src/b.rs",
            "src/b.rs:1 names super::a::A of src/a.rs",
        ] {
            assert!(circles[0].contains(line), "{circles:?}");
        }
    }

    #[test]
    fn a_module_that_says_only_where_things_are_is_in_no_circle() {
        let arrows = made(&[
            ("a.rs", "mod x; mod y; pub use x::X;"),
            ("a/x.rs", "pub struct X;"),
            ("a/y.rs", "use super::X;"),
        ]);
        assert_eq!(pairs(&arrows), [("a/y.rs", "a/x.rs")]);
    }
}
