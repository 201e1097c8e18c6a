//! Processes that outlive us: recognised again by id *and* start time, since ids are reused.
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A process we started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// When it started, in whatever unit the system counts.
    pub(super) mark: String,
}

impl Process {
    /// The process that has this id now.
    pub(super) fn observe(pid: u32) -> Option<Self> {
        mark(pid).map(|mark| Self { pid, mark })
    }

    /// True while the id still belongs to this very process. A zombie is dead: it only waits to be counted.
    pub(super) fn is_alive(&self) -> bool {
        mark(self.pid).as_ref() == Some(&self.mark)
    }

    /// Sends a signal, unless the id has passed on to somebody else.
    pub(super) fn signal(&self, signal: &str) {
        if self.is_alive() {
            // The shell's own `kill` is there even on images without the `kill` program.
            let mut kill = Command::new("/bin/sh");
            kill.args(["-c", r#"kill -s "$1" "$2""#, "sh", signal, &self.pid.to_string()]);
            let _ = kill.stderr(Stdio::null()).status();
        }
    }

    /// True when the process ended within the time.
    pub(super) fn wait_gone(&self, limit: Duration) -> bool {
        wait_until(limit, || !self.is_alive())
    }
}

/// Polls a condition until it holds or the time is up.
pub(super) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        sleep(Duration::from_millis(25));
    }
}

fn mark(pid: u32) -> Option<String> {
    if fs::exists("/proc/self/stat").unwrap_or(false) {
        parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    } else {
        mark_from_ps(pid)
    }
}

/// Field 22 of the kernel's line. The name in field 2 may hold spaces and brackets, so count from its end.
fn parse_stat(line: &str) -> Option<String> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

fn mark_from_ps(pid: u32) -> Option<String> {
    let output = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let (state, started) = line.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Process, parse_stat};

    #[test]
    fn process_observe_of_ourselves_is_alive() {
        let own = Process::observe(std::process::id()).expect("we run");
        assert!(own.is_alive());
    }

    #[test]
    fn process_with_another_start_time_is_not_alive() {
        let stranger = Process { pid: std::process::id(), mark: "long ago".to_owned() };
        assert!(!stranger.is_alive());
    }

    #[test]
    fn parse_stat_with_a_hostile_name_counts_from_its_end() {
        let line = "7 (a) S b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(parse_stat(line).as_deref(), Some("98765"));
    }

    #[test]
    fn parse_stat_of_a_zombie_is_none() {
        assert_eq!(parse_stat("7 (x) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2"), None);
    }
}
