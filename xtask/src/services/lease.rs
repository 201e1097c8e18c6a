//! Who uses the servers: one file per test run, named after its process, so that the end of one run does not pull the
//! servers from under another.
//!
//! The end of a run is noticed by a guard process that reads a pipe from the run. However the run ends, even by
//! SIGKILL, the kernel closes the pipe; the guard then gives the lease back. It lives in a process group of its own,
//! where the terminal's ctrl-C does not reach it.
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::process::Process;
use super::{home, release};
use crate::Outcome;

/// The servers are in use as long as this value lives.
pub(crate) struct Guard {
    child: Child,
}

impl Guard {
    /// Registers this process as a user of the servers.
    pub(crate) fn take() -> Outcome<Self> {
        let own = Process::observe(std::process::id()).ok_or("cannot read our own start time")?;
        let name = own.pid.to_string();
        let folder = folder();
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(&name), own.mark));
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
        let exe = std::env::current_exe().map_err(|error| format!("our own path: {error}"))?;
        let mut command = Command::new(exe);
        command.args(["services", "guard", &name]).stdin(Stdio::piped()).process_group(0);
        let child = command.spawn().map_err(|error| format!("the guard process: {error}"))?;
        Ok(Self { child })
    }

    /// Gives the lease back and waits until the servers are down.
    pub(crate) fn give_back(mut self) -> Outcome {
        drop(self.child.stdin.take());
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err("the test servers could not be stopped".to_owned()),
            Err(error) => Err(format!("the guard process: {error}")),
        }
    }
}

/// The guard's own life.
pub(super) fn guard(name: &str) -> Outcome {
    let mut ignored = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut ignored);
    if name.chars().all(|letter| letter.is_ascii_digit()) {
        let _ = fs::remove_file(folder().join(name));
    }
    release()
}

/// True when a test run still uses the servers; forgets those that ended without saying so.
pub(super) fn others_alive() -> Outcome<bool> {
    let folder = folder();
    let Ok(entries) = fs::read_dir(&folder) else {
        return Ok(false);
    };
    let mut alive = false;
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if is_held(&path) {
            alive = true;
        } else {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(alive)
}

fn is_held(path: &std::path::Path) -> bool {
    let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let mark = fs::read_to_string(path).ok();
    pid.zip(mark).is_some_and(|(pid, mark)| Process { pid, mark }.is_alive())
}

fn folder() -> PathBuf {
    home().join("leases")
}
