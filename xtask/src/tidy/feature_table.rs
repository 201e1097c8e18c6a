//! `docs/src/features.md`: one row per feature, with the test that shows it.
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::tree::Tree;

const TABLE: &str = "docs/src/features.md";

/// The numbers that were given out.
const NUMBERS: [RangeInclusive<u32>; 5] = [1..=23, 30..=38, 40..=48, 60..=70, 80..=88];

/// What the third column says of a feature that nothing shows yet.
const PENDING: &str = "not yet";

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.text(TABLE) else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (index, row) in text.lines().enumerate().filter(|(_, line)| line.starts_with("| F")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let mut found = Vec::new();
        if !is_known(cells[1]) {
            found.push(format!("{} is no feature", cells[1]));
        }
        if !seen.insert(cells[1]) {
            found.push(format!("{} is listed twice", cells[1]));
        }
        found.extend(check_proof(tree, cells.get(3).unwrap_or(&"")));
        problems.extend(found.into_iter().map(|problem| format!("{TABLE}:{}: {problem}", index + 1)));
    }
    problems
}

fn is_known(number: &str) -> bool {
    let digits = number.strip_prefix('F').filter(|digits| digits.len() == 2);
    let number = digits.and_then(|digits| digits.parse().ok());
    number.is_some_and(|number| NUMBERS.iter().any(|range| range.contains(&number)))
}

/// Paths and names in backticks; a name belongs to the path before it. `path::name` is both.
fn check_proof(tree: &Tree, cell: &str) -> Vec<String> {
    if cell.to_lowercase().starts_with(PENDING) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let (mut path, mut names) = (None, 0);
    for word in cell.split('`').skip(1).step_by(2) {
        let (place, name) = match word.split_once("::") {
            Some((place, name)) if place.contains('/') => (Some(place), Some(name)),
            _ if word.contains('/') => (Some(word), None),
            _ => (None, Some(word)),
        };
        if let Some(place) = place {
            path = Some(place.trim_end_matches('/'));
            names += usize::from(!place.ends_with(".rs"));
            problems.extend(check_path(tree, path.unwrap_or_default()));
        }
        if let Some(name) = name {
            names += 1;
            problems.extend(check_name(tree, path, name));
        }
    }
    if names == 0 {
        problems.push(format!("names no test; a feature without one says `{PENDING}`"));
    }
    problems
}

fn check_path(tree: &Tree, path: &str) -> Option<String> {
    let exists = tree.text(path).is_some() || tree.under(path).next().is_some();
    (!exists).then(|| format!("{path} does not exist"))
}

fn check_name(tree: &Tree, path: Option<&str>, name: &str) -> Option<String> {
    let Some(path) = path else {
        return Some(format!("{name} stands before any file"));
    };
    let occurs = tree.text(path).is_some_and(|text| is_in(text, name))
        || tree.under(path).any(|(_, text)| is_in(text, name));
    (!occurs).then(|| format!("{path} has no {name}"))
}

/// The name as a whole, not as the beginning of another test's.
fn is_in(text: &str, name: &str) -> bool {
    let belongs = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(belongs) && !text[at + name.len()..].starts_with(belongs))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{TABLE, check};

    const TEST: (&str, &str) = ("crates/x/tests/it/main.rs", "#[test]\nfn load_of_nothing_is_none() {}\n");

    fn problems(rows: &str) -> Vec<String> {
        let table = format!("| # | feature | shown by |\n|---|---|---|\n{rows}");
        check(&Tree::of(&[(TABLE, &table), TEST, ("examples/shop/src/main.rs", "fn main() {}\n")]))
    }

    #[test]
    fn feature_table_stays_quiet_on_rows_that_are_shown() {
        let rows = "| F01 | a | `crates/x/tests/it/main.rs` `load_of_nothing_is_none` |\n\
            | F02 | b | `crates/x/tests/it/main.rs::load_of_nothing_is_none`, and `examples/shop` |\n\
            | F88 | c | not yet |\n";
        assert_eq!(problems(rows), Vec::<String>::new());
    }

    #[test]
    fn feature_table_fires_on_unknown_and_repeated_numbers() {
        assert_eq!(problems("| F24 | a | not yet |\n").len(), 1);
        assert_eq!(problems("| F1 | a | not yet |\n").len(), 1);
        assert_eq!(problems("| F01 | a | not yet |\n| F01 | a | not yet |\n").len(), 1);
    }

    #[test]
    fn feature_table_fires_on_a_path_that_does_not_exist() {
        assert_eq!(problems("| F01 | a | `examples/mall` |\n").len(), 1);
    }

    #[test]
    fn feature_table_fires_on_a_name_that_is_not_in_its_file() {
        assert_eq!(problems("| F01 | a | `crates/x/tests/it/main.rs` `load_of_nothing` |\n").len(), 1);
        assert_eq!(problems("| F01 | a | `load_of_nothing_is_none` |\n").len(), 1);
    }

    #[test]
    fn feature_table_fires_on_a_row_that_names_no_test() {
        assert_eq!(problems("| F01 | a | |\n").len(), 1);
        assert_eq!(problems("| F01 | a | `crates/x/tests/it/main.rs` |\n").len(), 1);
    }
}
