//! The life of one server: fresh start, reuse, stop and start on the same data, clean-up after a crash.
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::account::Account;
use super::process::{Process, wait_until};
use super::state::State;
use super::{Server, Site, home};
use crate::Outcome;

const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Our folders under the system's temporary folder; nothing else there is ever removed.
const FALLBACK_PREFIX: &str = "cloakroom-services-";

/// Why servers are started, which decides who stops them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// By hand: they stay until `services down`.
    Manual,
    /// For a test run: the last run stops them.
    Tests,
}

/// Reuses a running server, restarts a stopped one on its data, and replaces one that crashed.
pub(super) fn up(server: &dyn Server, purpose: Purpose) -> Outcome {
    let home = home().join(server.name());
    match State::read(&home)? {
        Some(state) if state.is_alive() => reuse(server, &home, state, purpose),
        Some(state) if state.process.is_none() && state.folder.join("data").exists() => {
            match launch(server, &home, state) {
                Ok(()) => Ok(()),
                Err(reason) => {
                    say(server, &format!("does not start again, starting afresh: {reason}"));
                    fresh(server, &home, purpose)
                }
            }
        }
        Some(_) => {
            say(server, "what is recorded is stale, starting afresh");
            fresh(server, &home, purpose)
        }
        None => fresh(server, &home, purpose),
    }
}

/// Stops the server and removes its data.
pub(super) fn down(server: &dyn Server) -> Outcome {
    let home = home().join(server.name());
    let Some(state) = State::read(&home)? else {
        return wipe(&home);
    };
    if let Some(process) = state.process.as_ref().filter(|process| process.is_alive()) {
        end(server, process, server.graceful_signal())?;
        say(server, "down");
    }
    wipe(&home)
}

/// [`down`], but only for what a test run started.
pub(super) fn release(server: &dyn Server) -> Outcome {
    match State::read(&home().join(server.name()))? {
        Some(state) if !state.for_tests => {
            say(server, "left running: it was up before the tests");
            Ok(())
        }
        _ => down(server),
    }
}

/// Starts a stopped (or crashed) server on the port and data it had.
pub(super) fn start(server: &dyn Server) -> Outcome {
    let home = home().join(server.name());
    match State::read(&home)? {
        None => Err(format!("{}: never started here; run `cargo xtask services up`", server.name())),
        Some(state) if state.is_alive() => {
            say(server, "already running");
            Ok(())
        }
        Some(state) => launch(server, &home, state),
    }
}

/// Stops a server and keeps its port and data for [`start`].
pub(super) fn stop(server: &dyn Server, immediate: bool) -> Outcome {
    let home = home().join(server.name());
    let Some(mut state) = State::read(&home)? else {
        return Err(format!("{}: never started here", server.name()));
    };
    let Some(process) = state.process.take().filter(Process::is_alive) else {
        say(server, "already stopped");
        return state.write(&home);
    };
    let signal = if immediate { server.immediate_signal() } else { server.graceful_signal() };
    end(server, &process, signal)?;
    say(server, "stopped");
    state.write(&home)
}

/// One line, without the password.
pub(super) fn status(server: &dyn Server) -> Outcome<String> {
    Ok(match State::read(&home().join(server.name()))? {
        None => "down".to_owned(),
        Some(State { process: None, port, .. }) => format!("stopped, keeps port {port} and its data"),
        Some(state) if !state.is_alive() => {
            "gone without being stopped (`services up` replaces it)".to_owned()
        }
        Some(State { process, port, folder, .. }) => {
            let pid = process.map_or(0, |process| process.pid);
            format!("running, 127.0.0.1:{port}, pid {pid}, {}", folder.display())
        }
    })
}

/// Where the server is reached, with the password.
pub(super) fn url(server: &dyn Server) -> Outcome<String> {
    match State::read(&home().join(server.name()))? {
        Some(state) => Ok(state.url),
        None => Err(format!("{}: not up; run `cargo xtask services up`", server.name())),
    }
}

fn reuse(server: &dyn Server, home: &Path, mut state: State, purpose: Purpose) -> Outcome {
    say(server, &format!("already running on 127.0.0.1:{}", state.port));
    if purpose == Purpose::Manual && state.for_tests {
        state.for_tests = false;
        state.write(home)?;
    }
    Ok(())
}

/// A new server on an empty folder. A port can be lost between looking and binding, so that gets a second try.
fn fresh(server: &dyn Server, home: &Path, purpose: Purpose) -> Outcome {
    wipe(home)?;
    let first = fresh_once(server, home, purpose);
    match &first {
        Err(reason) if reason.to_lowercase().contains("already in use") => {
            wipe(home)?;
            fresh_once(server, home, purpose)
        }
        _ => first,
    }
}

fn fresh_once(server: &dyn Server, home: &Path, purpose: Purpose) -> Outcome {
    let programs = programs(server)?;
    let account = Account::choose(server.accounts())?;
    let folder = private_folder(server, home, account.as_ref())?;
    let site = Site { folder, port: free_port()?, password: random_hex(24)?, account };
    let state = State {
        folder: site.folder.clone(),
        port: site.port,
        url: server.url(site.port, &site.password),
        password: site.password.clone(),
        process: None,
        started: 0,
        for_tests: purpose == Purpose::Tests,
    };
    // Recorded before anything is in the folder, so that an interrupted start leaves nothing unknown behind.
    state.write(home)?;
    server.initialise(&site, &programs).map_err(|reason| format!("{}: {reason}", server.name()))?;
    launch(server, home, state)
}

/// Runs the server on the data it has, and records it once it answers.
fn launch(server: &dyn Server, home: &Path, mut state: State) -> Outcome {
    let account = Account::choose(server.accounts())?;
    let site =
        Site { folder: state.folder.clone(), port: state.port, password: state.password.clone(), account };
    let log = home.join("log");
    let (out, err) = open_log(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let mut command = server.command(&site, &programs(server)?);
    // A process group of its own: ctrl-C in the terminal is meant for us, the server is stopped in order.
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", server.name()))?;
    state.process = Process::observe(child.id());
    state.started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    state.write(home)?;
    if !await_ready(server, state.port, &mut child) {
        let _ = child.kill();
        let _ = child.wait();
        state.process = None;
        state.write(home)?;
        return Err(format!("{} did not come up; the end of its log:\n{}", server.name(), tail(&log)));
    }
    say(server, &format!("up on 127.0.0.1:{}", state.port));
    Ok(())
}

fn await_ready(server: &dyn Server, port: u16, child: &mut Child) -> bool {
    let mut ready = false;
    wait_until(START_LIMIT, || {
        let ended = !matches!(child.try_wait(), Ok(None));
        ready = !ended && server.is_ready(port);
        ended || ready
    });
    ready
}

fn end(server: &dyn Server, process: &Process, signal: &str) -> Outcome {
    process.signal(signal);
    if process.wait_gone(STOP_LIMIT) {
        return Ok(());
    }
    say(server, "does not stop when asked, killing it");
    process.signal("KILL");
    if process.wait_gone(STOP_LIMIT) {
        Ok(())
    } else {
        Err(format!("{}: process {} does not end", server.name(), process.pid))
    }
}

fn programs(server: &dyn Server) -> Outcome<PathBuf> {
    server.locate().ok_or_else(|| format!("{} is not installed", server.package()))
}

/// `target/services/<name>/private`, or a folder under the system's temporary one when the server's user cannot get
/// there (a checkout under a home folder closed to others).
fn private_folder(server: &dyn Server, home: &Path, account: Option<&Account>) -> Outcome<PathBuf> {
    let folder = home.join("private");
    create_private(&folder, account)?;
    if account.is_none_or(|account| account.can_write(&folder)) {
        return Ok(folder);
    }
    fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let fallback = std::env::temp_dir().join(format!("{FALLBACK_PREFIX}{}", random_hex(8)?));
    create_private(&fallback, account)?;
    say(server, &format!("its user cannot reach the target folder, the data is in {}", fallback.display()));
    Ok(fallback)
}

fn create_private(folder: &Path, account: Option<&Account>) -> Outcome {
    let created = fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, PermissionsExt::from_mode(0o700)));
    created.map_err(|error| format!("{}: {error}", folder.display()))?;
    account.map_or(Ok(()), |account| account.own(folder))
}

/// Removes everything of a server that no longer runs, its folder elsewhere included.
fn wipe(home: &Path) -> Outcome {
    let folder = State::read(home)?.map(|state| state.folder);
    for path in folder.iter().filter(|folder| is_fallback(folder)).map(PathBuf::as_path).chain([home]) {
        if path.exists() {
            fs::remove_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// The state file is only text: never remove what does not carry our name.
fn is_fallback(folder: &Path) -> bool {
    let named = folder.file_name().and_then(|name| name.to_str());
    folder.parent() == Some(&std::env::temp_dir())
        && named.is_some_and(|name| name.starts_with(FALLBACK_PREFIX))
}

/// Below the range from which systems take ports for outgoing connections: a stopped server must find its port
/// still free when it comes back, whatever the tests connected to meanwhile.
fn free_port() -> Outcome<u16> {
    let start = u16::from_str_radix(&random_hex(2)?, 16).map_err(|error| error.to_string())?;
    let candidates = (0..10_000u16).map(|step| 21_000 + (start % 10_000 + step) % 10_000);
    let free = candidates.into_iter().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.ok_or_else(|| "no free port on 127.0.0.1 between 21000 and 30999".to_owned())
}

fn random_hex(bytes: usize) -> Outcome<String> {
    let mut buffer = vec![0; bytes];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut buffer));
    read.map_err(|error| format!("/dev/urandom: {error}"))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn open_log(path: &Path) -> std::io::Result<(File, File)> {
    let file = File::options().create(true).append(true).open(path)?;
    let second = file.try_clone()?;
    Ok((file, second))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// Nobody may be listening any more (a closed terminal, a broken pipe); servers are stopped all the same.
fn say(server: &dyn Server, message: &str) {
    let _ = writeln!(std::io::stdout(), "services: {}: {message}", server.name());
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{free_port, is_fallback, random_hex};

    #[test]
    fn free_port_stays_below_the_outgoing_range() {
        let port = free_port().expect("a port");
        assert!((21_000..31_000).contains(&port));
    }

    #[test]
    fn random_hex_never_repeats() {
        let (one, other) = (random_hex(24).expect("random"), random_hex(24).expect("random"));
        assert_eq!(one.len(), 48);
        assert_ne!(one, other);
    }

    #[test]
    fn is_fallback_accepts_only_our_own_folders() {
        let temp = std::env::temp_dir();
        assert!(is_fallback(&temp.join("cloakroom-services-1234")));
        assert!(!is_fallback(&temp.join("other")));
        assert!(!is_fallback(&temp.join("cloakroom-services-1234").join("data")));
        assert!(!is_fallback(Path::new("/")));
    }
}
