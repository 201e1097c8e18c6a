//! Where this checkout is, and how its cargo is called.
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
///
/// Fixed at compile time: tests run this program too, and their environment names *their* manifest folder.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Cargo, started in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}
