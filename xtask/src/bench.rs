//! `cargo xtask bench [filter]`: the benchmarks, beside other session crates.
use crate::{Outcome, project, services};

/// The command line.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut command = project::cargo();
    // A workspace of its own, so that the crates it compares with weigh on nothing else.
    command.args(["bench", "--manifest-path", "benches/Cargo.toml", "--benches", "--"]).args(args);
    // Benchmarks against real servers use those that are up; none is started behind the back of a measurement.
    if let Ok(variables) = services::environment() {
        command.envs(variables);
    }
    project::check(&mut command)
}
