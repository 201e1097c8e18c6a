//! Nothing public tells on which machine, or through which mirror, it was made.
use super::tree::Tree;

/// Put together from halves, so that this file does not find itself.
const LEAKS: [&str; 9] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("C:\\", "Users"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("art", "ifactory"),
    concat!("deb.", "debian.org"),
];

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let lines = tree
        .files
        .iter()
        .flat_map(|(path, text)| text.lines().enumerate().map(move |(index, line)| (path, index, line)));
    let leaks = lines.filter_map(|(path, index, line)| {
        let leak = LEAKS.iter().find(|leak| names_place(line, leak))?;
        Some(format!("{path}:{}: names `{leak}`", index + 1))
    });
    leaks.collect()
}

/// A folder counts where a path begins, not inside an address: `https://example.org/home/` is somebody's page.
fn names_place(line: &str, leak: &str) -> bool {
    line.match_indices(leak).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !leak.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || "-_.{}<>".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{LEAKS, check};

    #[test]
    fn leak_fires_on_every_listed_place() {
        for leak in LEAKS {
            let text = format!("one\nsee {leak}x\n");
            let problems = check(&Tree::of(&[("docs/src/a.md", &text)]));
            assert_eq!(problems.len(), 1, "{leak}");
            assert!(problems[0].starts_with("docs/src/a.md:2:"), "{problems:?}");
        }
    }

    #[test]
    fn leak_stays_quiet_on_ordinary_text() {
        let address =
            concat!("https://example.org", "/ho", "me/ and framework/ and https://crates.io/crates/x\n");
        assert!(check(&Tree::of(&[("README.md", address)])).is_empty());
    }
}
