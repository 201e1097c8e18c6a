//! Budgets: what grows past them wants to be two things.
use super::source::is_test_file;
use super::tree::Tree;

const LARGEST_FILE: usize = 600;

/// Files that may be longer, each with its reason.
const LARGE_FILES: [(&str, &str); 0] = [];

/// Crates that may be larger than their kind, each with its reason.
const LARGE_CRATES: [(&str, usize, &str); 8] = [
    ("cloakroom", 300, "a crate's worth of re-exports for each backend and layer, and the table of URLs"),
    (
        "cloakroom-core",
        7_700,
        "the whole vocabulary of Django's sessions, four formats, replay with settled outcomes, owners and queries; \
         a quarter is documentation",
    ),
    (
        "cloakroom-backend-database",
        2_500,
        "three databases and one by trait, migrations, limits under locks, lost answers settled by version",
    ),
    (
        "cloakroom-backend-file",
        3_200,
        "locks among processes, crash-safe rotation, an index of owners, damaged files set aside, checks of folders",
    ),
    (
        "cloakroom-layer-analytics",
        1_600,
        "five sinks, nineteen metrics with their tenants, a bounded queue; code alone is two thirds of it",
    ),
    (
        "cloakroom-layer-compression",
        1_400,
        "three algorithms, dictionaries, a trait for others, and the documentation of each; code alone is half of it",
    ),
    (
        "cloakroom-layer-encryption",
        900,
        "hashed owners with a change of their key, a pass that re-encrypts; half of it is documentation",
    ),
    (
        "cloakroom-layer-replication",
        3_900,
        "three strategies, a queue, who decides beyond the process, agreement of copies without a quorum, comparison of whole \
         stores; every rule in it is there because a random history broke what came before",
    ),
];

/// The lines a crate may have, tests excluded, documentation included.
fn budget(name: &str) -> Option<usize> {
    match name {
        // The trait's contract and every public item are documented with examples that run; code alone is half of it.
        "cloakroom-core" => Some(4_000),
        // It re-exports and dispatches; logic belongs into the crates.
        "cloakroom" => Some(200),
        _ if name.starts_with("cloakroom-layer-") => Some(700),
        _ if name.starts_with("cloakroom-backend-") => Some(1_200),
        _ => None,
    }
}

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut problems = check_files(tree, &LARGE_FILES);
    problems.extend(check_crates(tree, &LARGE_CRATES));
    problems
}

fn check_files(tree: &Tree, excused: &[(&str, &str)]) -> Vec<String> {
    let long =
        tree.rust().map(|(path, source)| (path, source.raw.len())).filter(|&(_, lines)| lines > LARGEST_FILE);
    long.filter(|(path, _)| !excused.iter().any(|(excused, _)| excused == path))
        .map(|(path, lines)| format!("{path}: {lines} lines, more than {LARGEST_FILE}"))
        .collect()
}

fn check_crates(tree: &Tree, excused: &[(&str, usize, &str)]) -> Vec<String> {
    let over = |folder: &&str| {
        let name = folder.strip_prefix("crates/")?;
        let own = excused.iter().find(|(excused, ..)| *excused == name).map(|&(_, lines, _)| lines);
        let budget = own.or_else(|| budget(name))?;
        let lines = length(tree, folder);
        (lines > budget).then(|| format!("{folder}: {lines} lines without tests, more than {budget}"))
    };
    tree.crates().iter().filter_map(over).collect()
}

fn length(tree: &Tree, folder: &str) -> usize {
    let source = format!("{folder}/src/");
    let files = tree.rust().filter(|(path, _)| path.starts_with(&source) && !is_test_file(path));
    files.map(|(_, source)| source.shipped_length()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{check, check_crates, check_files};

    fn lines(count: usize) -> String {
        "fn a() {}\n".repeat(count)
    }

    #[test]
    fn size_fires_on_a_file_one_line_too_long() {
        let tree = Tree::of(&[("crates/x/tests/it/main.rs", &lines(601))]);
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn size_stays_quiet_on_a_file_at_its_limit_or_excused() {
        assert!(check(&Tree::of(&[("xtask/src/a.rs", &lines(600))])).is_empty());
        let tree = Tree::of(&[("xtask/src/a.rs", &lines(601))]);
        assert!(check_files(&tree, &[("xtask/src/a.rs", "a table")]).is_empty());
    }

    #[test]
    fn size_fires_on_each_kind_of_crate_over_its_budget() {
        for (name, budget) in [
            ("cloakroom", 200),
            ("cloakroom-layer-x", 700),
            ("cloakroom-backend-x", 1_200),
            ("cloakroom-core", 4_000),
        ] {
            let (one, other) = (format!("crates/{name}/src/lib.rs"), format!("crates/{name}/src/b.rs"));
            let manifest = format!("crates/{name}/Cargo.toml");
            let tree = Tree::of(&[(&manifest, ""), (&one, &lines(budget - 1)), (&other, &lines(2))]);
            assert_eq!(check_crates(&tree, &[]).len(), 1, "{name}");
        }
    }

    #[test]
    fn size_stays_quiet_when_only_tests_go_over_or_a_reason_is_given() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(300));
        let manifest = ("crates/cloakroom/Cargo.toml", "");
        let tree = Tree::of(&[
            manifest,
            ("crates/cloakroom/src/lib.rs", &tests),
            ("crates/cloakroom/src/tests.rs", &lines(300)),
            ("crates/cloakroom/tests/it/main.rs", &lines(300)),
        ]);
        assert!(check_crates(&tree, &[]).is_empty());
        let tree = Tree::of(&[manifest, ("crates/cloakroom/src/lib.rs", &lines(250))]);
        assert!(check_crates(&tree, &[("cloakroom", 260, "a reason")]).is_empty());
    }
}
