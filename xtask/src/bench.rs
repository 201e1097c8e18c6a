//! `cargo xtask bench [filter]`: the benchmarks of every crate that has some.
use crate::{Outcome, project, services};

/// The command line.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut command = project::cargo();
    // `--benches` leaves out the unit tests' programs only where a crate says `bench = false`; they find no
    // benchmark and end at once.
    command.args(["bench", "--workspace", "--all-features", "--benches", "--"]).args(args);
    // Benchmarks against real servers use those that are up; none is started behind the back of a measurement.
    if let Ok(variables) = services::environment() {
        command.envs(variables);
    }
    project::check(&mut command)
}
