//! `cargo xtask ci`: everything that must hold before a merge. A failing step does not hide the next one.
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Outcome, fuzz, project, test, tidy};

const USAGE: &str = "usage: cargo xtask ci [--skip-tests]";

/// How a step ended.
enum Ending {
    Passed,
    Skipped(String),
    Failed(String),
}

impl From<Outcome> for Ending {
    fn from(outcome: Outcome) -> Self {
        outcome.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// What has been run so far.
#[derive(Default)]
struct Report {
    steps: Vec<(&'static str, Duration, Ending)>,
}

impl Report {
    fn step(&mut self, name: &'static str, run: impl FnOnce() -> Ending) {
        println!("\n== {name}");
        let start = Instant::now();
        let ending = run();
        let took = start.elapsed();
        match &ending {
            Ending::Passed => println!("== {name}: passed in {:.1} s", took.as_secs_f64()),
            Ending::Skipped(reason) => println!("== {name}: skipped, {reason}"),
            Ending::Failed(reason) => {
                println!("== {name}: FAILED after {:.1} s\n{reason}", took.as_secs_f64());
            }
        }
        self.steps.push((name, took, ending));
    }

    fn finish(self) -> Outcome {
        println!();
        for (name, took, ending) in &self.steps {
            let word = match ending {
                Ending::Passed => "passed".to_owned(),
                Ending::Skipped(reason) => format!("skipped: {reason}"),
                Ending::Failed(_) => "FAILED".to_owned(),
            };
            println!("{name:<20} {:>7.1} s  {word}", took.as_secs_f64());
        }
        let failed = self.steps.iter().filter(|(_, _, ending)| matches!(ending, Ending::Failed(_))).count();
        if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} steps failed", self.steps.len())) }
    }
}

/// The command line.
pub(crate) fn run(args: &[String]) -> Outcome {
    let skip_tests = match args {
        [] => false,
        [flag] if flag == "--skip-tests" => true,
        _ => return Err(USAGE.to_owned()),
    };
    let mut report = Report::default();
    report.step("format", || cargo(&["fmt", "--all", "--check"]).into());
    report.step("tidy", || tidy::run(&[]).into());
    report.step("clippy", || clippy().into());
    report.step("features alone", || features_alone().into());
    report.step("documentation", || documentation().into());
    report.step("licences and bans", licences);
    report.step("advisories", advisories);
    report.step("book", book);
    if !skip_tests {
        report.step("test", || test::run(&[]).into());
        report.step("fuzz regressions", || fuzz::regressions().into());
    }
    report.finish()
}

fn cargo(args: &[&str]) -> Outcome {
    project::check(project::cargo().args(args))
}

fn clippy() -> Outcome {
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
}

fn documentation() -> Outcome {
    let mut command = project::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings");
    project::check(&mut command)
}

/// Every crate with nothing, with each of its features alone, and with its defaults: a feature that leans on another
/// without saying so breaks here, not at the user's.
fn features_alone() -> Outcome {
    let metadata = project::metadata(&project::root(), &["--no-deps"])?;
    let mut failures = Vec::new();
    for args in check_lists(&metadata) {
        let mut command = project::cargo();
        command.arg("check").args(&args);
        println!("{}", project::describe(&command));
        if let Err(reason) = check_without_warnings(&mut command) {
            eprintln!("{reason}");
            failures.push(args.join(" "));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("cargo check {}", failures.join("\ncargo check "))) }
}

/// Reads the output rather than setting RUSTFLAGS, which would compile every dependency once more.
fn check_without_warnings(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("cargo check: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let warned = said.lines().any(|line| line.starts_with("warning: "));
    if output.status.success() && !warned { Ok(()) } else { Err(said) }
}

/// The arguments of each check, crate by crate.
fn check_lists(metadata: &Value) -> Vec<Vec<String>> {
    project::list(&metadata["packages"]).filter(|package| is_ours(package)).flat_map(package_checks).collect()
}

fn is_ours(package: &Value) -> bool {
    // The folder decides, not the name: examples and this program are not published.
    project::text(&package["manifest_path"]).rsplit('/').nth(2) == Some("crates")
}

fn package_checks(package: &Value) -> Vec<Vec<String>> {
    let targets = project::list(&package["targets"]);
    let mut kinds = targets.flat_map(|target| project::list(&target["kind"])).map(project::text);
    let target = if kinds.any(|kind| matches!(kind, "lib" | "proc-macro")) { "--lib" } else { "--bins" };
    let check = |more: &[&str]| {
        let fixed = ["-p", project::text(&package["name"]), target];
        fixed.iter().chain(more).map(|&word| word.to_owned()).collect()
    };
    let features = package["features"].as_object().into_iter().flat_map(|map| map.keys());
    let alone = features.filter(|name| *name != "default");
    let mut checks = vec![check(&["--no-default-features"])];
    checks.extend(alone.map(|name| check(&["--no-default-features", "--features", name])));
    checks.push(check(&[]));
    checks
}

fn licences() -> Ending {
    if !is_installed(&["deny", "--version"]) {
        return Ending::Skipped("cargo-deny is not installed (cargo install --locked cargo-deny)".to_owned());
    }
    cargo(&["deny", "--all-features", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
        .into()
}

/// The database of known weaknesses is a download; use it where it already is.
fn advisories() -> Ending {
    if !is_installed(&["deny", "--version"]) {
        return Ending::Skipped("cargo-deny is not installed".to_owned());
    }
    if !advisory_folders().iter().any(|folder| folder.is_dir()) {
        return Ending::Skipped("no advisory database on this machine (cargo deny fetch)".to_owned());
    }
    cargo(&["deny", "--all-features", "check", "--disable-fetch", "advisories"]).into()
}

fn advisory_folders() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home);
    cargo.into_iter().flat_map(|cargo| ["advisory-db", "advisory-dbs"].map(|name| cargo.join(name))).collect()
}

/// Where mdBook is missing, tidy has at least checked that the table of contents names files that exist.
fn book() -> Ending {
    let root = project::root();
    if !root.join("docs").join("book.toml").exists() {
        return Ending::Skipped("there is no docs/book.toml".to_owned());
    }
    let mut version = Command::new("mdbook");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        return Ending::Skipped("mdbook is not installed; tidy checked the table of contents".to_owned());
    }
    let mut command = Command::new("mdbook");
    command.arg("build").arg(root.join("docs")).arg("--dest-dir").arg(root.join("target").join("book"));
    project::check(&mut command).into()
}

fn is_installed(args: &[&str]) -> bool {
    let mut command = project::cargo();
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check_lists;

    #[test]
    fn check_lists_has_nothing_each_feature_and_the_defaults() {
        let metadata = json!({ "packages": [{
            "name": "a", "manifest_path": "/x/crates/a/Cargo.toml", "targets": [{ "kind": ["lib"] }],
            "features": { "default": ["one"], "one": [], "two": [] },
        }]});
        let lists: Vec<String> = check_lists(&metadata).iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            lists,
            [
                "-p a --lib --no-default-features",
                "-p a --lib --no-default-features --features one",
                "-p a --lib --no-default-features --features two",
                "-p a --lib",
            ]
        );
    }

    #[test]
    fn check_lists_leaves_out_what_is_not_published_and_knows_programs() {
        let metadata = json!({ "packages": [
            { "name": "shop", "manifest_path": "/x/examples/shop/Cargo.toml", "targets": [], "features": {} },
            { "name": "cli", "manifest_path": "/x/crates/cli/Cargo.toml", "targets": [{ "kind": ["bin"] }] },
        ]});
        let lists = check_lists(&metadata);
        assert_eq!(lists.len(), 2);
        assert!(lists.iter().all(|words| words[1] == "cli" && words[2] == "--bins"));
    }
}
