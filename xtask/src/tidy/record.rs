//! The records: decisions in `docs/adr`, changes in `CHANGELOG.md`.
use std::collections::BTreeMap;

use super::tree::Tree;

const HEADINGS: [&str; 3] = ["## Context", "## Decision", "## Alternatives rejected"];

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut problems: Vec<String> =
        tree.under("docs/adr").flat_map(|(path, text)| check_decision(path, text)).collect();
    problems.extend(repeated_numbers(tree));
    problems.extend(check_changelog(tree.text("CHANGELOG.md")));
    problems
}

fn check_decision(path: &str, text: &str) -> Vec<String> {
    if number(path).is_none() {
        return vec![format!("{path}: not named NNNN-title.md")];
    }
    let has = |heading: &str| text.lines().any(|line| line.trim_end() == heading);
    let missing = HEADINGS.into_iter().filter(|heading| !has(heading));
    missing.map(|heading| format!("{path}: without the heading `{heading}`")).collect()
}

/// The number in `docs/adr/NNNN-title.md`.
fn number(path: &str) -> Option<&str> {
    let name = path.strip_prefix("docs/adr/")?.strip_suffix(".md")?;
    let (number, title) = name.split_once('-')?;
    let digits = number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
    let words = title.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (digits && words && !title.is_empty()).then_some(number)
}

fn repeated_numbers(tree: &Tree) -> Vec<String> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (path, _) in tree.under("docs/adr") {
        let Some(number) = number(path) else { continue };
        if let Some(other) = first.insert(number, path) {
            problems.push(format!("{path}: has the number of {other}"));
        }
    }
    problems
}

fn check_changelog(text: Option<&str>) -> Option<String> {
    let Some(text) = text else {
        return Some("CHANGELOG.md: missing".to_owned());
    };
    let unreleased = |line: &str| line.starts_with("## [Unreleased]") || line.trim_end() == "## Unreleased";
    (!text.lines().any(unreleased)).then(|| "CHANGELOG.md: without an Unreleased section".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    const CHANGELOG: (&str, &str) = ("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n");
    const DECISION: &str = "# 1\n\n## Context\n\n## Decision\n\n## Alternatives rejected\n";

    #[test]
    fn record_stays_quiet_on_complete_records() {
        let tree =
            Tree::of(&[CHANGELOG, ("docs/adr/0001-a-star.md", DECISION), ("docs/adr/0002-b.md", DECISION)]);
        assert_eq!(check(&tree), Vec::<String>::new());
    }

    #[test]
    fn record_fires_on_each_missing_heading() {
        let text = DECISION.replace("## Decision", "## Decisions").replace("## Context", "### Context");
        assert_eq!(check(&Tree::of(&[CHANGELOG, ("docs/adr/0001-a.md", &text)])).len(), 2);
    }

    #[test]
    fn record_fires_on_a_decision_named_otherwise() {
        for name in ["1-a.md", "0001.md", "0001-.md", "0001-A.md", "0001_a.md", "notes.txt"] {
            let path = format!("docs/adr/{name}");
            assert_eq!(check(&Tree::of(&[CHANGELOG, (&path, DECISION)])).len(), 1, "{name}");
        }
    }

    #[test]
    fn record_fires_on_a_number_used_twice() {
        let tree = Tree::of(&[CHANGELOG, ("docs/adr/0001-a.md", DECISION), ("docs/adr/0001-b.md", DECISION)]);
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn record_fires_on_a_missing_changelog_or_section() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
        assert_eq!(check(&Tree::of(&[("CHANGELOG.md", "## 0.1.0\n")])).len(), 1);
    }
}
