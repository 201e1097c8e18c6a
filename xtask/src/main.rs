//! Project automation: `cargo xtask <command>`, one file per command.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks through its streams"
)]

mod bench;
mod ci;
mod fuzz;
mod project;
mod services;
mod test;
mod tidy;

use std::process::ExitCode;

/// What a step of the automation returns: the error is the sentence shown to the user.
type Outcome<T = ()> = Result<T, String>;

const USAGE: &str = "\
usage: cargo xtask <command>

  test [--no-services] [--full] [arguments]  every test, with servers of its own
  ci [--skip-tests]                          everything that must hold before a merge
  tidy                                       the rules that no compiler checks
  bench [filter]                             the benchmarks
  fuzz [target…] [--seconds N]               the fuzz targets, each for 60 s
  services up|down|status|env                the test servers of this checkout
  services start|stop <name> [--immediate]   one server; it keeps its port and data";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Outcome {
    let Some((command, rest)) = args.split_first() else {
        return Err(USAGE.to_owned());
    };
    match command.as_str() {
        "test" => test::run(rest),
        "ci" => ci::run(rest),
        "tidy" => tidy::run(rest),
        "bench" => bench::run(rest),
        "fuzz" => fuzz::run(rest),
        "services" => services::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no command `{other}`\n\n{USAGE}")),
    }
}
