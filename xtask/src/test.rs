//! `cargo xtask test`: every test of the workspace, with servers of its own.
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::services::{self, Guard, Purpose};
use crate::{Outcome, project};

const USAGE: &str = "usage: cargo xtask test [--no-services] [--full] [arguments of cargo test]";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    no_services: bool,
    full: bool,
    cargo: Vec<String>,
}

impl Options {
    /// Our own options end at `--`; what follows belongs to the test programs.
    fn parse(args: &[String]) -> Self {
        let mut options = Self::default();
        let own = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        for arg in &args[..own] {
            match arg.as_str() {
                "--no-services" => options.no_services = true,
                "--full" => options.full = true,
                other => options.cargo.push(other.to_owned()),
            }
        }
        options.cargo.extend_from_slice(&args[own..]);
        options
    }

    fn command(&self) -> Command {
        let mut command = project::cargo();
        // Go on after a failing test program: the sum at the end is that of the whole run.
        command.args(["test", "--all-features", "--no-fail-fast"]);
        let chosen = |arg: &String| arg == "-p" || arg.starts_with("-p=") || arg.starts_with("--package");
        if !self.cargo.iter().any(chosen) {
            command.arg("--workspace");
        }
        command.args(&self.cargo);
        if self.full {
            command.env("CLOAKROOM_TEST", "full");
        }
        command
    }
}

/// The command line.
pub(crate) fn run(args: &[String]) -> Outcome {
    if args.iter().any(|arg| arg == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(args);
    let mut command = options.command();
    let outcome = if options.no_services {
        let log = skipped_log()?;
        let outcome = without_services(&mut command, &log);
        report_skipped(&log);
        outcome
    } else {
        with_services(&mut command)
    };
    let (tally, succeeded) = outcome?;
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    match (succeeded, tally.failed) {
        (true, 0) => Ok(()),
        (_, 0) => Err("cargo test failed outside a test; see above".to_owned()),
        _ => Err("there are failing tests".to_owned()),
    }
}

fn with_services(command: &mut Command) -> Outcome<(Tally, bool)> {
    let guard = Guard::take()?;
    let outcome = services::up(Purpose::Tests).and_then(|()| {
        let exe = std::env::current_exe().map_err(|error| format!("our own path: {error}"))?;
        command.env("CLOAKROOM_XTASK", exe).env_remove("CLOAKROOM_NO_SERVICES");
        command.envs(services::environment()?);
        stream(command)
    });
    let stopped = guard.give_back();
    let outcome = outcome?;
    stopped.map(|()| outcome)
}

fn without_services(command: &mut Command, log: &Path) -> Outcome<(Tally, bool)> {
    for variable in services::variables() {
        command.env_remove(variable);
    }
    stream(command.env("CLOAKROOM_NO_SERVICES", "1").env("CLOAKROOM_SKIPPED_LOG", log))
}

/// An empty file to which tests add `<test name>: needs <service>`.
fn skipped_log() -> Outcome<PathBuf> {
    let path = project::root().join("target").join("skipped-tests.log");
    let made = fs::create_dir_all(path.with_file_name("")).and_then(|()| fs::write(&path, ""));
    made.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn report_skipped(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: BTreeSet<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    println!("\nnot run, for want of a server: {}", lines.len());
    for line in lines {
        println!("  {line}");
    }
}

/// Runs the tests, passing their output through while adding up the results.
fn stream(command: &mut Command) -> Outcome<(Tally, bool)> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cargo test: {error}"))?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        copy(&mut BufReader::new(stdout), &mut std::io::stdout(), &mut tally)
            .map_err(|error| format!("cargo test: {error}"))?;
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    Ok((tally, status.success()))
}

/// Bytes rather than text: a test may print anything.
fn copy(from: &mut impl BufRead, to: &mut impl Write, tally: &mut Tally) -> std::io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        tally.add(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

/// The sum of the `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    fn add(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        // "ok. 3 passed; 0 failed; 1 ignored; …"
        let words: Vec<&str> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let count = pair[0].parse().unwrap_or(0);
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Tally, copy};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_before_the_dashes_are_ours_and_the_rest_is_cargo_s() {
        let options = Options::parse(&words("--full -p x --no-services -- --no-services name"));
        assert!(options.full && options.no_services);
        assert_eq!(options.cargo, words("-p x -- --no-services name"));
    }

    #[test]
    fn command_with_a_chosen_package_does_not_ask_for_the_workspace() {
        let asks = |text: &str| {
            let command = Options::parse(&words(text)).command();
            command.get_args().any(|arg| arg == "--workspace")
        };
        assert!(asks("--full"));
        assert!(!asks("-p cloakroom-core"));
    }

    #[test]
    fn tally_of_several_results_is_their_sum() {
        let output = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s\n\
            test a ... FAILED\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n\
            99 passed; 99 failed\n";
        let (mut tally, mut copied) = (Tally::default(), Vec::new());
        copy(&mut output.as_bytes(), &mut copied, &mut tally).expect("memory");
        assert_eq!(copied, output.as_bytes());
        assert_eq!(tally, Tally { passed: 13, failed: 2 });
    }
}
