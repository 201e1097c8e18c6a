//! Processes of their own: this test program again, with one test and a folder to work on.

use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "CLOAKROOM_TEST_FILE_CHILD";

/// A command that runs one test of this program as a child.
pub(crate) fn command(test: &str, folder: &Path) -> Command {
    prepare(Command::new(std::env::current_exe().expect("this program")), test, folder)
}

/// The same, through a shell that does something before it.
pub(crate) fn command_after(shell: &mut Command, test: &str, folder: &Path) -> Command {
    let mut command = Command::new(shell.get_program());
    command.args(shell.get_args()).arg(std::env::current_exe().expect("this program"));
    prepare(command, test, folder)
}

fn prepare(mut command: Command, test: &str, folder: &Path) -> Command {
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    command
}

/// The folder, where this is a child; else its tests have nothing to do.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

pub(crate) fn run<F: Future<Output = ()>>(work: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(work);
}
