//! `cargo xtask fuzz`: the targets in `fuzz/`, one after the other, each for a bounded time.
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::{Outcome, project};

const USAGE: &str = "\
usage: cargo xtask fuzz [target…] [--seconds N]   fuzzes, by default every target for 60 s
       cargo xtask fuzz --list                     the targets
       cargo xtask fuzz --regressions              runs what was found before, without a fuzzer";

const CARGO_FUZZ: &str = "0.13.2";
const MANIFEST: &str = "fuzz/Cargo.toml";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Help,
    List,
    Regressions,
    /// The targets, or none for all, and for how many seconds each.
    Fuzz(Vec<String>, u64),
}

impl Task {
    fn parse(args: &[String]) -> Outcome<Self> {
        let (mut targets, mut seconds) = (Vec::new(), 60);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--help" => return Ok(Self::Help),
                "--list" => return Ok(Self::List),
                "--regressions" => return Ok(Self::Regressions),
                "--seconds" => {
                    let number = args.next().and_then(|number| number.parse().ok());
                    // The fuzzer takes zero for "without end".
                    let number = number.filter(|&number| number > 0);
                    seconds = number.ok_or("--seconds needs a whole number above zero")?;
                }
                flag if flag.starts_with('-') => return Err(USAGE.to_owned()),
                target => targets.push(target.to_owned()),
            }
        }
        Ok(Self::Fuzz(targets, seconds))
    }
}

/// The command line.
pub(crate) fn run(args: &[String]) -> Outcome {
    match Task::parse(args)? {
        Task::Help => println!("{USAGE}"),
        Task::List => {
            for (name, longest) in targets()? {
                println!("{name:<20} inputs of up to {longest} bytes");
            }
        }
        Task::Regressions => regressions()?,
        Task::Fuzz(wanted, seconds) => return fuzz(&chosen(&targets()?, &wanted)?, seconds),
    }
    Ok(())
}

/// Every input in `fuzz/corpus-regressions`, as plain tests.
pub(crate) fn regressions() -> Outcome {
    let mut command = project::cargo();
    command.args(["test", "--no-fail-fast", "--manifest-path", MANIFEST, "--target-dir"]);
    project::check(command.arg(place("plain")))
}

/// Where all that comes of fuzzing goes: never between the sources.
fn place(name: &str) -> PathBuf {
    project::root().join("target").join("fuzz").join(name)
}

/// The targets with the length of their longest input.
fn targets() -> Outcome<BTreeMap<String, u64>> {
    let metadata = project::metadata(&project::root(), &["--no-deps", "--manifest-path", MANIFEST])?;
    let package = project::list(&metadata["packages"]).next().ok_or("fuzz/ holds no package")?;
    let programs = project::list(&package["targets"])
        .filter(|target| project::list(&target["kind"]).any(|kind| kind == "bin"));
    let longest = |name: &str| {
        let longest = package["metadata"]["max-len"][name].as_u64();
        longest.ok_or_else(|| format!("{MANIFEST}: [package.metadata.max-len] does not name {name}"))
    };
    programs
        .map(|target| project::text(&target["name"]))
        .map(|name| Ok((name.to_owned(), longest(name)?)))
        .collect()
}

fn chosen<'a>(all: &'a BTreeMap<String, u64>, wanted: &'a [String]) -> Outcome<Vec<(&'a str, u64)>> {
    let find = |name: &'a String| {
        let longest = all.get(name).ok_or_else(|| {
            let names: Vec<&str> = all.keys().map(String::as_str).collect();
            format!("there is no target `{name}`; there are {}", names.join(", "))
        })?;
        Ok((name.as_str(), *longest))
    };
    if wanted.is_empty() {
        return Ok(all.iter().map(|(name, longest)| (name.as_str(), *longest)).collect());
    }
    wanted.iter().map(find).collect()
}

fn fuzz(targets: &[(&str, u64)], seconds: u64) -> Outcome {
    let tools = install()?;
    let host = host()?;
    let mut results = Vec::new();
    for (name, longest) in targets {
        build(&tools, &host, name)?;
        println!("\n== {name}: {seconds} s, inputs of up to {longest} bytes");
        let program = place("build").join(&host).join("release").join(name);
        results.push((*name, attack(&program, name, *longest, seconds)?));
    }
    println!();
    for (name, ending) in &results {
        println!("{name:<20} {}", ending.describe(name));
    }
    let found = results.iter().filter(|(_, ending)| !ending.clean).count();
    if found == 0 { Ok(()) } else { Err(format!("{found} of {} targets found something", results.len())) }
}

/// The folder of cargo-fuzz, which is installed inside the checkout when it is missing there.
fn install() -> Outcome<PathBuf> {
    let root = project::root().join("target").join("tools");
    let tools = root.join("bin");
    let mut version = Command::new(tools.join("cargo-fuzz"));
    let version = version.arg("--version").stderr(Stdio::null()).output();
    let right = |said: &[u8]| String::from_utf8_lossy(said).split_whitespace().nth(1) == Some(CARGO_FUZZ);
    if !version.is_ok_and(|output| right(&output.stdout)) {
        println!("installing cargo-fuzz {CARGO_FUZZ} into target/tools, once");
        let mut command = project::cargo();
        command.args(["install", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"]).arg(&root);
        project::check(command.arg("--target-dir").arg(root.join("build")))?;
    }
    Ok(tools)
}

/// The system this compiler builds for when nobody says otherwise.
fn host() -> Outcome<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn build(tools: &Path, host: &str, name: &str) -> Outcome {
    let mut command = Command::new(tools.join("cargo-fuzz"));
    command.current_dir(project::root()).args(["build", name, "--fuzz-dir", "fuzz", "--target", host]);
    command.arg("--target-dir").arg(place("build"));
    // The sanitizer is behind an unstable flag. Set for this command only: build scripts look at it too.
    project::check(command.env("RUSTC_BOOTSTRAP", "1"))
}

/// How a target ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ending {
    executions: u64,
    coverage: u64,
    artifact: Option<String>,
    clean: bool,
}

impl Ending {
    /// Takes what a line of the fuzzer says.
    fn add(&mut self, line: &str) {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(path.trim().to_owned());
        }
        let Some(rest) = line.strip_prefix('#') else { return };
        let mut words = rest.split_whitespace();
        let Some(executions) = words.next().and_then(|number| number.trim_end_matches(':').parse().ok())
        else {
            return;
        };
        self.executions = self.executions.max(executions);
        let coverage = words.skip_while(|word| *word != "cov:").nth(1).and_then(|number| number.parse().ok());
        self.coverage = coverage.unwrap_or(self.coverage);
    }

    fn finish(mut self, status: ExitStatus) -> Self {
        self.clean = status.success();
        self
    }

    fn describe(&self, name: &str) -> String {
        let Self { executions, coverage, artifact, clean } = self;
        let counts = format!("{executions:>10} executions, coverage {coverage}");
        match (clean, artifact) {
            (true, _) => format!("{counts}, nothing found"),
            (false, None) => format!("{counts}, FAILED without an input; see above"),
            (false, Some(path)) => format!(
                "{counts}, FOUND SOMETHING\n  \
                 input      {path}\n  \
                 again      cargo run --manifest-path {MANIFEST} --bin {name} -- {path}\n  \
                 if not so  the same file as the argument of target/fuzz/build/<host>/release/{name}\n  \
                 mended     keep it as fuzz/corpus-regressions/{name}/<what it was>"
            ),
        }
    }
}

/// Runs a target, passing its output through.
fn attack(program: &Path, name: &str, longest: u64, seconds: u64) -> Outcome<Ending> {
    let (corpus, artifacts) = (place("corpus").join(name), place("artifacts").join(name));
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command.args([format!("-max_total_time={seconds}"), format!("-max_len={longest}")]);
    command.args(["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    // New inputs go to the first folder; the other only seeds it.
    command.arg(&corpus).arg(project::root().join("fuzz").join("corpus-regressions").join(name));
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let mut child = command.current_dir(project::root()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut ending = Ending::default();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        // Bytes rather than text: a finding may print anything.
        while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            let text = String::from_utf8_lossy(&line);
            eprint!("{text}");
            ending.add(&text);
            line.clear();
        }
    }
    Ok(ending.finish(child.wait().map_err(failed)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Ending, Task, chosen, targets};

    fn parse(text: &str) -> Result<Task, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Task::parse(&words)
    }

    #[test]
    fn task_of_targets_and_seconds_is_to_fuzz_them() {
        assert_eq!(parse(""), Ok(Task::Fuzz(vec![], 60)));
        let both = Task::Fuzz(vec!["key".to_owned(), "jwt".to_owned()], 5);
        assert_eq!(parse("key --seconds 5 jwt"), Ok(both));
        assert_eq!(parse("--list"), Ok(Task::List));
    }

    #[test]
    fn task_of_no_seconds_or_unknown_options_is_refused() {
        for text in ["--seconds", "--seconds 0", "--seconds x", "--second 5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn chosen_of_an_unknown_target_names_those_there_are() {
        let all = BTreeMap::from([("key".to_owned(), 9), ("payload".to_owned(), 7)]);
        let wanted = ["key".to_owned(), "kye".to_owned()];
        assert_eq!(chosen(&all, &wanted[..1]), Ok(vec![("key", 9)]));
        assert_eq!(chosen(&all, &[]), Ok(vec![("key", 9), ("payload", 7)]));
        let error = chosen(&all, &wanted).expect_err("no such target");
        assert!(error.contains("`kye`") && error.contains("key, payload"), "{error}");
    }

    #[test]
    fn targets_of_this_checkout_have_a_longest_input_and_seeds() {
        let targets = targets().expect("fuzz/Cargo.toml names every target");
        assert!(targets.contains_key("payload"));
        for name in targets.keys() {
            let seeds = crate::project::root().join("fuzz").join("corpus-regressions").join(name);
            assert!(seeds.read_dir().is_ok_and(|mut files| files.next().is_some()), "{name}");
        }
    }

    #[test]
    fn ending_of_a_log_has_its_counts_and_its_artifact() {
        let log = "#2\tINITED cov: 20 ft: 21 corp: 1/1b exec/s: 0 rss: 40Mb\n\
            #4194304\tpulse  cov: 73 ft: 100 corp: 9/55b lim: 1024 exec/s: 2097152 rss: 400Mb\n\
            #5000000: cov: 74 ft: 1 corp: 1 exec/s: 9 rss: 400Mb\n\
            # not a count\n\
            artifact_prefix='a/'; Test unit written to a/crash-01\n";
        let mut ending = Ending::default();
        log.lines().for_each(|line| ending.add(line));
        let artifact = Some("a/crash-01".to_owned());
        assert_eq!(ending, Ending { executions: 5_000_000, coverage: 74, artifact, clean: false });
        assert!(ending.describe("key").contains("--bin key -- a/crash-01"));
    }
}
