//! The checkout as the rules see it: every file with its text, and the packages with their dependencies.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::source::Source;
use crate::{Outcome, project};

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 4] = ["target", ".git", "node_modules", "docs/book"];
/// Larger files are data, not something a rule reads.
const LARGEST: u64 = 1 << 20;

/// All that rules look at.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// By path from the root, with `/` on every system.
    pub(super) files: BTreeMap<String, String>,
    pub(super) packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    /// From the root, without a slash at the end.
    pub(super) folder: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// What a package says it needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) for_tests: bool,
}

impl Tree {
    pub(super) fn load(root: &Path) -> Outcome<Self> {
        let mut tree = Self::default();
        tree.add_folder(root, "").map_err(|error| format!("{}: {error}", root.display()))?;
        tree.packages = packages(&project::metadata(root, &["--no-deps", "--offline"])?);
        Ok(tree)
    }

    /// A tree that exists only in a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect();
        Self { files, packages: Vec::new() }
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The files below a folder.
    pub(super) fn under<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let inside = move |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .filter(move |(path, _)| inside(path))
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, Source<'_>)> {
        let files = self.files.iter().filter(|(path, _)| path.ends_with(".rs"));
        files.map(|(path, text)| (path.as_str(), Source::new(path, text)))
    }

    /// The folders right under `crates/`.
    pub(super) fn crates(&self) -> Vec<&str> {
        let manifests = self.under("crates").filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"));
        manifests.filter(|folder| folder.matches('/').count() == 1).collect()
    }

    fn add_folder(&mut self, root: &Path, folder: &str) -> std::io::Result<()> {
        for entry in fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if SKIPPED.contains(&path.as_str()) || path.ends_with("/target") {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.add_folder(root, &path)?;
            } else if kind.is_file() {
                self.add_file(root, path);
            }
        }
        Ok(())
    }

    /// A file may vanish while we look (an editor's draft, a test's database); then it is none.
    fn add_file(&mut self, root: &Path, path: String) {
        let full = root.join(&path);
        let Ok(about) = full.metadata() else { return };
        let bytes = if about.len() > LARGEST { Ok(Vec::new()) } else { fs::read(&full) };
        if let Ok(bytes) = bytes {
            self.files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

/// The packages in the answer of `cargo metadata`.
pub(super) fn packages(metadata: &Value) -> Vec<Package> {
    let root = format!("{}/", project::text(&metadata["workspace_root"]));
    let package = |value: &Value| {
        let manifest = project::text(&value["manifest_path"]);
        let folder = manifest.strip_prefix(&root)?.strip_suffix("/Cargo.toml")?;
        Some(Package {
            name: project::text(&value["name"]).to_owned(),
            folder: folder.to_owned(),
            dependencies: project::list(&value["dependencies"]).map(dependency).collect(),
        })
    };
    project::list(&metadata["packages"]).filter_map(package).collect()
}

fn dependency(value: &Value) -> Dependency {
    Dependency { name: project::text(&value["name"]).to_owned(), for_tests: value["kind"] == "dev" }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Dependency, Package, Tree};

    #[test]
    fn tree_load_reads_files_and_packages_but_not_what_was_built() {
        let root = std::env::temp_dir().join(format!("cloakroom-tidy-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"3\"\n");
        write(
            "crates/a/Cargo.toml",
            "[package]\nname = \"a\"\n[dev-dependencies]\nb = { path = \"../b\" }\n",
        );
        write("crates/a/src/lib.rs", "");
        write("crates/b/Cargo.toml", "[package]\nname = \"b\"\n");
        write("crates/b/src/lib.rs", "");
        write("target/debug/x.rs", "todo!()");
        let tree = Tree::load(&root);
        fs::remove_dir_all(&root).expect("to clean up");
        let tree = tree.expect("a tree");
        assert!(tree.text("crates/a/src/lib.rs").is_some() && tree.text("target/debug/x.rs").is_none());
        assert_eq!(tree.crates(), ["crates/a", "crates/b"]);
        let for_tests = Dependency { name: "b".to_owned(), for_tests: true };
        let expected =
            Package { name: "a".to_owned(), folder: "crates/a".to_owned(), dependencies: vec![for_tests] };
        assert!(tree.packages.contains(&expected), "{:?}", tree.packages);
    }
}
