//! `openapi.json` and the routes say the same.

use std::collections::BTreeSet;

use hyper::{Request, http::request::Parts};
use serde_json::Value;

use super::{
    Listener,
    route::{NoRoute, find},
};
use crate::config::Config;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_json::from_str(include_str!("../../openapi.json")).unwrap()
}

fn request(method: &str, path: &str) -> Parts {
    let method = method.to_ascii_uppercase();
    let request = Request::builder().method(method.as_str()).uri(path);
    request.body(()).unwrap().into_parts().0
}

/// In development mode every endpoint answers on the main listener.
fn everything() -> Config {
    Config {
        dev: true,
        ..Config::default()
    }
}

fn find_in_dev(method: &str, path: &str) -> Result<String, NoRoute> {
    let route = find(&request(method, path), Listener::Main, &everything())?;
    let shown = format!("{route:?}");
    Ok(shown.split('(').next().unwrap_or_default().to_owned())
}

/// A path of the document as somebody would ask for it.
fn filled_in(path: &str) -> String {
    let values = [
        ("{channel}", "news"),
        ("{user}", "ann"),
        ("{connection}", "AAAAAAAAAAA"),
        ("{name}", "start.js"),
    ];
    values.iter().fold(path.to_owned(), |path, (name, value)| {
        path.replace(name, value)
    })
}

#[test]
fn every_documented_operation_has_a_route_and_no_path_has_another() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let found = find_in_dev(method, &filled_in(path));
            match (item.get(method), found) {
                (Some(_), Ok(_)) => {}
                (None, Err(NoRoute::Method(_) | NoRoute::Path)) => {}
                (documented, found) => {
                    let documented = documented.is_some();
                    panic!("{method} {path}: documented {documented}, found {found:?}");
                }
            }
        }
    }
}

#[test]
fn every_route_is_documented() {
    let document = document();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS.iter().filter(|method| item.get(method).is_some()) {
            documented.insert(find_in_dev(method, &filled_in(path)).unwrap());
        }
    }
    let (_, rest) = include_str!("route.rs").split_once("enum Route {").unwrap();
    let (variants, _) = rest.split_once("\n}").unwrap();
    let name = |line: &str| {
        let line = line.trim().trim_end_matches(',');
        line.split('(').next().unwrap_or_default().to_owned()
    };
    let routes: BTreeSet<String> = variants
        .lines()
        .map(name)
        .filter(|name| !name.is_empty() && name != "Preflight")
        .collect();
    assert_eq!(documented, routes);
}

#[test]
fn operations_are_named_once_and_references_lead_somewhere() {
    let document = document();
    let mut names = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in METHODS.iter().filter_map(|method| item.get(method)) {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(
                !operation["responses"].as_object().unwrap().is_empty(),
                "{name}"
            );
        }
    }
    let text = include_str!("../../openapi.json");
    for rest in text.split("\"$ref\": \"#").skip(1) {
        let (pointer, _) = rest.split_once('"').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{pointer} leads nowhere"
        );
    }
}
