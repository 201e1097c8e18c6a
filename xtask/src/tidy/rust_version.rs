//! The `rust-version` of a crate is a promise, and no crate can promise more than what it is built on.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::project::{list, text};

type Version = (u32, u32, u32);

/// Works on the full answer of `cargo metadata`, the resolved graph included.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).map(|package| (text(&package["id"]), package)).collect();
    let edges: BTreeMap<&str, Vec<&str>> =
        list(&metadata["resolve"]["nodes"]).map(|node| (text(&node["id"]), needed_to_build(node))).collect();
    packages
        .values()
        .filter(|package| is_ours(package))
        .filter_map(|own| offence(own, &packages, &edges))
        .collect()
}

fn is_ours(package: &Value) -> bool {
    package["source"].is_null() && text(&package["manifest_path"]).rsplit('/').nth(2) == Some("crates")
}

/// What users compile: everything but what only tests need.
fn needed_to_build(node: &Value) -> Vec<&str> {
    let needed = |dependency: &&Value| list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev");
    list(&node["deps"]).filter(needed).map(|dependency| text(&dependency["pkg"])).collect()
}

fn offence(
    own: &Value,
    packages: &BTreeMap<&str, &Value>,
    edges: &BTreeMap<&str, Vec<&str>>,
) -> Option<String> {
    let name = text(&own["name"]);
    let Some(declared) = version(&own["rust_version"]) else {
        return Some(format!("{name} declares no rust-version"));
    };
    let tree = reachable(text(&own["id"]), edges);
    let demanding =
        tree.into_iter().filter_map(|id| Some((version(&packages.get(id)?["rust_version"])?, id)));
    let (highest, id) = demanding.max()?;
    (highest > declared).then(|| {
        let needs = text(&packages[id]["rust_version"]);
        format!(
            "{name} promises {}, but {} needs {needs}",
            text(&own["rust_version"]),
            text(&packages[id]["name"])
        )
    })
}

fn reachable<'a>(from: &'a str, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(edges.get(id).into_iter().flatten());
        }
    }
    seen
}

fn version(value: &Value) -> Option<Version> {
    let mut parts = value.as_str()?.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next().unwrap_or(Some(0))?, parts.next().unwrap_or(Some(0))?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    /// `own` needs `near` in the given way, and `near` needs `far`, which wants 1.94.
    fn metadata(declared: Option<&str>, kind: Option<&str>) -> Value {
        json!({
            "packages": [
                { "id": "own", "name": "own", "rust_version": declared, "source": null,
                  "manifest_path": "/x/crates/own/Cargo.toml" },
                { "id": "near", "name": "near", "rust_version": null, "source": "registry" },
                { "id": "far", "name": "far", "rust_version": "1.94.0", "source": "registry" },
            ],
            "resolve": { "nodes": [
                { "id": "own", "deps": [{ "pkg": "near", "dep_kinds": [{ "kind": kind }] }] },
                { "id": "near", "deps": [{ "pkg": "far", "dep_kinds": [{ "kind": null }] }] },
                { "id": "far", "deps": [] },
            ]},
        })
    }

    #[test]
    fn rust_version_fires_on_a_promise_below_the_dependencies() {
        let problems = check(&metadata(Some("1.88"), None));
        assert_eq!(problems, ["own promises 1.88, but far needs 1.94.0"]);
        assert_eq!(check(&metadata(Some("1.88"), Some("build"))).len(), 1);
        assert_eq!(check(&metadata(None, None)).len(), 1);
    }

    #[test]
    fn rust_version_stays_quiet_on_an_honest_promise_and_on_what_only_tests_need() {
        assert!(check(&metadata(Some("1.94"), None)).is_empty());
        assert!(check(&metadata(Some("1.88"), Some("dev"))).is_empty());
    }
}
