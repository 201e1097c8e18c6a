//! `cargo xtask services`: database servers of this checkout's own, for tests.
//!
//! Every server lives under `target/services/<name>/`, listens on 127.0.0.1 only and is known by the process id and
//! start time in its `state` file; nothing else on the machine is ever signalled. A further kind of server is one
//! file that implements [`Server`] and one line in [`all`].
mod account;
mod install;
mod keeper;
mod lease;
mod mariadb;
mod postgres;
mod process;
mod state;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, project};
pub(crate) use keeper::Purpose;
pub(crate) use lease::Guard;

/// The user name on every server; it may create and drop databases and schemas.
const USER: &str = "cloakroom";
/// The database that exists once a server is up.
const DATABASE: &str = "cloakroom_test";

/// One kind of server.
trait Server: Sync {
    /// The name on the command line and of the folder.
    fn name(&self) -> &'static str;
    /// The variable that carries the URL to the tests.
    fn variable(&self) -> &'static str;
    /// The Debian package, which is also how other systems are told what is missing.
    fn package(&self) -> &'static str;
    /// The users to run as when we are root, best first.
    fn accounts(&self) -> &'static [&'static str];
    /// The folder of the server's programs, when it is installed.
    fn locate(&self) -> Option<PathBuf>;
    /// Fills the empty data folder.
    fn initialise(&self, site: &Site, programs: &Path) -> Outcome;
    /// The server in the foreground.
    fn command(&self, site: &Site, programs: &Path) -> Command;
    /// True once a client could log in.
    fn is_ready(&self, port: u16) -> bool;
    /// What tests connect to.
    fn url(&self, port: u16, password: &str) -> String;
    /// The signal that stops the server without waiting for its clients, after finishing its writes.
    fn graceful_signal(&self) -> &'static str;
    /// The signal that stops it at once, as a crash would.
    fn immediate_signal(&self) -> &'static str;
}

/// The private place of one server, and whom it runs as.
struct Site {
    folder: PathBuf,
    port: u16,
    password: String,
    account: Option<account::Account>,
}

impl Site {
    /// The server's own files; everything else in the folder is ours.
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program that runs as the server's user, in a folder this user can enter.
    fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        // Cargo points the loader at the toolchain's libraries; they are none of the server's business.
        command.current_dir(&self.folder).env_remove("LD_LIBRARY_PATH");
        if let Some(account) = &self.account {
            account.apply(&mut command);
        }
        command
    }
}

fn all() -> [&'static dyn Server; 3] {
    [&postgres::POSTGRES, &postgres::REPLICA, &mariadb::MariaDb]
}

fn by_name(name: &str) -> Outcome<&'static dyn Server> {
    all().into_iter().find(|server| server.name() == name).ok_or_else(|| {
        let names: Vec<_> = all().iter().map(|server| server.name()).collect();
        format!("there is no service `{name}`; there are: {}", names.join(", "))
    })
}

/// The folder of all services.
fn home() -> PathBuf {
    project::root().join("target").join("services")
}

/// Held while servers are started or stopped, so that two runs in one checkout do not race.
fn lock() -> Outcome<File> {
    let home = home();
    fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    let path = home.join("lock");
    let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.lock().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(file)
}

/// The command line.
pub(crate) fn run(args: &[String]) -> Outcome {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["up"] => up(Purpose::Manual),
        ["down"] => down(),
        ["status"] => status(),
        ["env"] => {
            for (variable, url) in environment()? {
                println!("export {variable}='{url}'");
            }
            Ok(())
        }
        ["start", name] => start(name),
        ["stop", name] => stop(name, false),
        ["stop", name, "--immediate"] => stop(name, true),
        // Started by `cargo xtask test` only: see `lease`.
        ["guard", lease] => lease::guard(lease),
        _ => Err("usage: cargo xtask services up|down|status|env, \
                  or: cargo xtask services start|stop <name> [--immediate]"
            .to_owned()),
    }
}

/// Installs what is missing, then brings every server up; those that already run are reused.
pub(crate) fn up(purpose: Purpose) -> Outcome {
    let _lock = lock()?;
    install::ensure(&all())?;
    let outcomes = std::thread::scope(|scope| {
        let threads = all().map(|server| scope.spawn(move || keeper::up(server, purpose)));
        threads.map(|thread| thread.join().unwrap_or_else(|_| Err("a starter thread panicked".to_owned())))
    });
    join(outcomes)
}

fn down() -> Outcome {
    let _lock = lock()?;
    join(all().map(keeper::down))
}

/// Stops what was started for tests, unless another test run still uses it.
fn release() -> Outcome {
    let _lock = lock()?;
    if lease::others_alive()? {
        let _ = writeln!(std::io::stdout(), "services: left running for another test run");
        return Ok(());
    }
    join(all().map(keeper::release))
}

fn status() -> Outcome {
    for server in all() {
        println!("{}: {}", server.name(), keeper::status(server)?);
    }
    Ok(())
}

fn start(name: &str) -> Outcome {
    let server = by_name(name)?;
    let _lock = lock()?;
    keeper::start(server)
}

fn stop(name: &str, immediate: bool) -> Outcome {
    let server = by_name(name)?;
    let _lock = lock()?;
    keeper::stop(server, immediate)
}

/// The variables that tell tests where the servers are.
pub(crate) fn environment() -> Outcome<Vec<(&'static str, String)>> {
    all().into_iter().map(|server| Ok((server.variable(), keeper::url(server)?))).collect()
}

/// Runs a preparing step; what it says matters only when it fails.
fn run_quietly(command: &mut Command) -> Outcome {
    let program = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&said)))
}

/// The names of those variables.
pub(crate) fn variables() -> impl Iterator<Item = &'static str> {
    all().into_iter().map(Server::variable)
}

/// Every failure, one a line.
fn join<const N: usize>(outcomes: [Outcome; N]) -> Outcome {
    let failures: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}
