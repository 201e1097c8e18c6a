//! Every crate looks the same from outside: a README that is its front page, and the workspace's lints.
use super::tree::Tree;

const FRONT_PAGE: &str = "#![doc = include_str!(\"../README.md\")]";

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut problems: Vec<String> =
        tree.crates().into_iter().flat_map(|folder| check_crate(tree, folder)).collect();
    problems.extend(check_lints(tree));
    problems
}

fn check_crate(tree: &Tree, folder: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if tree.text(&format!("{folder}/README.md")).is_none() {
        problems.push(format!("{folder}: no README.md"));
    }
    let library = format!("{folder}/src/lib.rs");
    if tree.text(&library).is_some_and(|text| !text.starts_with(FRONT_PAGE)) {
        problems.push(format!("{library}: does not start with {FRONT_PAGE}"));
    }
    problems
}

/// The workspace forbids unsafe code, and every package takes the workspace's word.
fn check_lints(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    let root = tree.text("Cargo.toml").unwrap_or_default();
    if !has_entry(root, "[workspace.lints.rust]", "unsafe_code", "\"forbid\"") {
        problems.push("Cargo.toml: [workspace.lints.rust] does not forbid unsafe_code".to_owned());
    }
    let manifests = tree.files.iter().filter(|(path, _)| path.ends_with("/Cargo.toml"));
    // A workspace of its own (a fuzzing crate, say) cannot take the lints of this one.
    let members = manifests.filter(|(_, text)| !text.lines().any(|line| line.trim() == "[workspace]"));
    let deaf = members.filter(|(_, text)| !has_entry(text, "[lints]", "workspace", "true"));
    problems.extend(deaf.map(|(path, _)| format!("{path}: [lints] workspace = true is missing")));
    problems
}

/// True when a section of the manifest has `key = value`.
fn has_entry(manifest: &str, section: &str, key: &str, value: &str) -> bool {
    let inside = manifest.lines().map(str::trim).skip_while(|line| *line != section).skip(1);
    let mut entries =
        inside.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    entries.any(|(name, right)| name.trim() == key && right.trim() == value)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{FRONT_PAGE, check};

    const ROOT: (&str, &str) =
        ("Cargo.toml", "[workspace]\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n");
    const MANIFEST: (&str, &str) =
        ("crates/x/Cargo.toml", "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n");
    const README: (&str, &str) = ("crates/x/README.md", "# x\n");
    const LIBRARY: (&str, &str) = ("crates/x/src/lib.rs", FRONT_PAGE);

    #[test]
    fn front_stays_quiet_on_a_complete_crate() {
        assert_eq!(check(&Tree::of(&[ROOT, MANIFEST, README, LIBRARY])), Vec::<String>::new());
    }

    #[test]
    fn front_fires_on_a_missing_readme() {
        assert_eq!(check(&Tree::of(&[ROOT, MANIFEST, LIBRARY])).len(), 1);
    }

    #[test]
    fn front_fires_on_a_library_with_another_front_page() {
        assert_eq!(check(&Tree::of(&[ROOT, MANIFEST, README, (LIBRARY.0, "//! Text.\n")])).len(), 1);
    }

    #[test]
    fn front_fires_on_a_member_without_the_lints() {
        let manifest = (MANIFEST.0, "[package]\n[lints]\n[features]\nworkspace = true\n");
        assert_eq!(check(&Tree::of(&[ROOT, manifest, README, LIBRARY])).len(), 1);
    }

    #[test]
    fn front_stays_quiet_on_a_workspace_of_its_own() {
        let fuzz = ("fuzz/Cargo.toml", "[package]\n[workspace]\n");
        assert!(check(&Tree::of(&[ROOT, fuzz])).is_empty());
    }

    #[test]
    fn front_fires_on_a_workspace_that_allows_unsafe_code() {
        assert_eq!(
            check(&Tree::of(&[("Cargo.toml", "[workspace.lints.rust]\nmissing_docs = \"deny\"\n")])).len(),
            1
        );
    }
}
