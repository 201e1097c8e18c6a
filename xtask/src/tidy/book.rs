//! The book's table of contents names files that exist, and names every page.
use super::tree::Tree;

const CONTENTS: &str = "docs/src/SUMMARY.md";

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.text(CONTENTS) else {
        return Vec::new();
    };
    let pages: Vec<String> = links(text).map(|link| resolve("docs/src", link)).collect();
    let missing = pages.iter().filter(|page| tree.text(page).is_none());
    let missing = missing.map(|page| format!("{CONTENTS}: names {page}, which does not exist"));
    let unnamed = tree
        .under("docs/src")
        .map(|(path, _)| path)
        .filter(|path| path.ends_with(".md") && *path != CONTENTS && !pages.iter().any(|page| page == path));
    missing.chain(unnamed.map(|path| format!("{path}: not in the table of contents"))).collect()
}

/// The targets of `[title](target)`; a chapter still to be written has none.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.map(|target| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// Follows `./` and `../` without asking the disk.
fn resolve(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{CONTENTS, check};

    #[test]
    fn book_fires_on_a_page_that_does_not_exist() {
        assert_eq!(check(&Tree::of(&[(CONTENTS, "- [One](one.md)\n")])).len(), 1);
    }

    #[test]
    fn book_fires_on_a_page_that_is_not_listed() {
        assert_eq!(check(&Tree::of(&[(CONTENTS, ""), ("docs/src/one.md", "")])).len(), 1);
    }

    #[test]
    fn book_stays_quiet_on_pages_drafts_and_links_elsewhere() {
        let contents =
            "- [One](./one.md#top)\n- [Draft]()\n- [Web](https://example.org)\n- [Why](../adr/0001-a.md)\n";
        let tree = Tree::of(&[(CONTENTS, contents), ("docs/src/one.md", ""), ("docs/adr/0001-a.md", "")]);
        assert_eq!(check(&tree), Vec::<String>::new());
    }

    #[test]
    fn book_stays_quiet_where_there_is_none() {
        assert!(check(&Tree::of(&[])).is_empty());
    }
}
