//! One star around the core: who may depend on whom.
use super::tree::{Dependency, Package, Tree};

/// The crates of ours that a crate may depend on; `None` for "any".
///
/// For tests a crate may also use the test kit, and the middleware.
fn allowed(name: &str) -> Option<Option<&'static [&'static str]>> {
    let backend_or_layer = name.starts_with("cloakroom-backend-") || name.starts_with("cloakroom-layer-");
    Some(match name {
        "cloakroom-core" => Some(&[]),
        "cloakroom-seal" | "cloakroom-testkit" => Some(&["cloakroom-core"]),
        "cloakroom-http" => Some(&["cloakroom-core", "cloakroom-seal"]),
        "cloakroom-tower" | "cloakroom-actix" => Some(&["cloakroom-core", "cloakroom-http"]),
        "cloakroom" => None,
        "cloakroom-cli" => Some(&["cloakroom"]),
        _ if backend_or_layer => Some(&["cloakroom-core", "cloakroom-seal"]),
        _ => return None,
    })
}

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let ours = tree.packages.iter().filter(|package| package.folder.starts_with("crates/"));
    ours.flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<String> {
    let Package { name, folder, dependencies } = package;
    let mut problems = Vec::new();
    if folder.strip_prefix("crates/") != Some(name) {
        problems.push(format!("{folder}: the folder is not named after the crate {name}"));
    }
    let Some(allowed) = allowed(name) else {
        problems.push(format!("{folder}: {name} has no place in the star (xtask/src/tidy/star.rs)"));
        return problems;
    };
    let ours = dependencies.iter().filter(|dependency| is_ours(&dependency.name));
    let bad = ours.filter(|dependency| !is_fine(dependency, allowed));
    problems.extend(bad.map(|dependency| format!("{folder}: must not depend on {}", dependency.name)));
    problems
}

fn is_fine(dependency: &Dependency, allowed: Option<&[&str]>) -> bool {
    let listed = allowed.is_none_or(|allowed| allowed.contains(&dependency.name.as_str()));
    listed
        || (dependency.for_tests
            && ["cloakroom-testkit", "cloakroom-tower"].contains(&dependency.name.as_str()))
}

fn is_ours(name: &str) -> bool {
    name == "cloakroom" || name.starts_with("cloakroom-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tree::{Tree, packages};
    use super::check;

    /// The problems of one crate with one dependency.
    fn problems(name: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let metadata = json!({ "workspace_root": "/x", "packages": [{
            "name": name,
            "manifest_path": format!("/x/crates/{name}/Cargo.toml"),
            "dependencies": [{ "name": dependency, "kind": kind }, { "name": "serde", "kind": null }],
        }]});
        check(&Tree { packages: packages(&metadata), ..Tree::default() })
    }

    #[test]
    fn star_fires_on_every_forbidden_edge() {
        for (from, to) in [
            ("cloakroom-core", "cloakroom-seal"),
            ("cloakroom-seal", "cloakroom-http"),
            ("cloakroom-testkit", "cloakroom-seal"),
            ("cloakroom-http", "cloakroom-tower"),
            ("cloakroom-tower", "cloakroom-seal"),
            ("cloakroom-actix", "cloakroom-tower"),
            ("cloakroom-backend-file", "cloakroom-backend-database"),
            ("cloakroom-layer-cache", "cloakroom-testkit"),
            ("cloakroom-cli", "cloakroom-core"),
        ] {
            assert_eq!(problems(from, to, None).len(), 1, "{from} on {to}");
        }
        assert_eq!(problems("cloakroom-layer-cache", "cloakroom-backend-file", Some("dev")).len(), 1);
    }

    #[test]
    fn star_stays_quiet_on_every_allowed_edge() {
        for (from, to) in [
            ("cloakroom-http", "cloakroom-seal"),
            ("cloakroom-tower", "cloakroom-http"),
            ("cloakroom-backend-file", "cloakroom-core"),
            ("cloakroom-layer-encryption", "cloakroom-seal"),
            ("cloakroom", "cloakroom-layer-cache"),
            ("cloakroom-cli", "cloakroom"),
        ] {
            assert!(problems(from, to, None).is_empty(), "{from} on {to}");
        }
        assert!(problems("cloakroom-core", "cloakroom-testkit", Some("dev")).is_empty());
    }

    #[test]
    fn star_fires_on_a_crate_it_does_not_know() {
        assert_eq!(problems("cloakroom-extra", "cloakroom-core", None).len(), 1);
    }

    #[test]
    fn star_fires_on_a_folder_named_otherwise() {
        let metadata = json!({ "workspace_root": "/x", "packages": [
            { "name": "cloakroom-core", "manifest_path": "/x/crates/core/Cargo.toml", "dependencies": [] },
        ]});
        assert_eq!(check(&Tree { packages: packages(&metadata), ..Tree::default() }).len(), 1);
    }
}
