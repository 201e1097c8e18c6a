//! Names that say nothing: a module is called after the thing in it.
use super::tree::Tree;

const BANNED: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "types", "manager", "misc"];

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let files = tree
        .rust()
        .filter(|(path, _)| has_banned_name(path))
        .map(|(path, _)| format!("{path}: a banned name"));
    let modules = tree.rust().flat_map(|(path, source)| {
        let code: Vec<String> =
            source.shipped.iter().chain(&source.test).filter_map(|line| inline_module(line)).collect();
        code.into_iter().map(move |name| format!("{path}: a module named {name}"))
    });
    files.chain(modules).collect()
}

fn has_banned_name(path: &str) -> bool {
    path.trim_end_matches(".rs").split('/').any(|part| BANNED.contains(&part))
}

/// The banned name of a module whose body is right here; one in a file of its own is found by that file's name.
fn inline_module(line: &str) -> Option<String> {
    let (head, _) = line.split_once('{')?;
    let mut words = head.split_whitespace().rev();
    let name = words.next()?;
    (words.next() == Some("mod") && BANNED.contains(&name)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    #[test]
    fn name_fires_on_files_folders_and_inline_modules() {
        for path in ["crates/x/src/utils.rs", "crates/x/src/common/mod.rs", "crates/x/tests/it/helpers.rs"] {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
        assert_eq!(check(&Tree::of(&[("crates/x/src/lib.rs", "pub(crate) mod types {\n}\n")])).len(), 1);
    }

    #[test]
    fn name_stays_quiet_on_names_that_merely_contain_one() {
        let tree = Tree::of(&[
            ("crates/cloakroom-core/src/session_manager.rs", "mod data_types {}\n// mod util {\n"),
            ("docs/common/page.md", ""),
        ]);
        assert!(check(&tree).is_empty());
    }
}
