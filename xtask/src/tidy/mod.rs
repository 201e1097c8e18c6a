//! `cargo xtask tidy`: the rules of this project that no compiler checks.
//!
//! A rule is one file with a `check` that takes the tree and returns what is wrong. A single line of Rust is excused by
//! `// tidy-allow: <reason>` at its end or on the line above, where the rule says so; whole files and crates only by
//! the lists in the rule, each entry with its reason.
mod book;
mod feature_table;
mod forbidden;
mod front;
mod leak;
mod name;
mod record;
mod rust_version;
mod size;
mod source;
mod star;
mod tree;

use std::path::Path;

use crate::{Outcome, project};
use tree::Tree;

/// A rule: what it is called, and what it finds.
type Rule = (&'static str, fn(&Tree) -> Vec<String>);

const RULES: [Rule; 9] = [
    ("book", book::check),
    ("features", feature_table::check),
    ("forbidden", forbidden::check),
    ("front", front::check),
    ("leak", leak::check),
    ("name", name::check),
    ("record", record::check),
    ("size", size::check),
    ("star", star::check),
];

/// The command line.
pub(crate) fn run(args: &[String]) -> Outcome {
    if !args.is_empty() {
        return Err("usage: cargo xtask tidy".to_owned());
    }
    let root = project::root();
    let mut problems = problems(&root)?;
    // Apart from the others, since it alone needs every dependency resolved.
    let metadata = project::metadata(&root, &["--all-features"])?;
    problems
        .extend(rust_version::check(&metadata).into_iter().map(|problem| format!("rust-version: {problem}")));
    if problems.is_empty() {
        println!("tidy: nothing to complain about");
        return Ok(());
    }
    Err(format!("tidy: {} problems\n{}", problems.len(), problems.join("\n")))
}

fn problems(root: &Path) -> Outcome<Vec<String>> {
    let tree = Tree::load(root)?;
    let mut problems = Vec::new();
    for (name, check) in RULES {
        problems.extend(check(&tree).into_iter().map(|problem| format!("{name}: {problem}")));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::problems;
    use crate::project;

    #[test]
    fn tidy_of_this_checkout_finds_nothing() {
        let found = problems(&project::root()).expect("a readable checkout");
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }
}
