//! PostgreSQL.
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{DATABASE, Server, Site, USER};
use crate::Outcome;

/// One of several clusters.
pub(super) struct Postgres {
    name: &'static str,
    variable: &'static str,
}

/// What most tests use.
pub(super) static POSTGRES: Postgres = Postgres { name: "postgres", variable: "CLOAKROOM_POSTGRES_URL" };

/// A second one, for tests of replication.
pub(super) static REPLICA: Postgres =
    Postgres { name: "postgres-replica", variable: "CLOAKROOM_POSTGRES_REPLICA_URL" };

impl Server for Postgres {
    fn name(&self) -> &'static str {
        self.name
    }

    fn variable(&self) -> &'static str {
        self.variable
    }

    fn package(&self) -> &'static str {
        "postgresql"
    }

    fn accounts(&self) -> &'static [&'static str] {
        &["postgres", "nobody"]
    }

    /// Debian keeps the programs of each release in a folder of their own, off the PATH.
    fn locate(&self) -> Option<PathBuf> {
        let mut folders: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        folders.sort_by_key(|(release, _)| std::cmp::Reverse(*release));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = folders.into_iter().map(|(_, folder)| folder).chain(std::env::split_paths(&path));
        folders.find(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file())
    }

    fn initialise(&self, site: &Site, programs: &Path) -> Outcome {
        let secret = site.folder.join("password");
        fs::write(&secret, &site.password).map_err(|error| format!("the password file: {error}"))?;
        if let Some(account) = &site.account {
            account.own(&secret)?;
        }
        let mut initdb = site.program(&programs.join("initdb"));
        initdb.arg("--pgdata").arg(site.data()).arg("--pwfile").arg(&secret);
        initdb.args(["--username", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        // The data lives as long as the tests, nothing needs to survive a power cut.
        initdb.arg("--no-sync");
        let made = super::run_quietly(&mut initdb);
        let _ = fs::remove_file(&secret);
        made?;
        create_database(site, programs)
    }

    fn command(&self, site: &Site, programs: &Path) -> Command {
        let mut command = site.program(&programs.join("postgres"));
        command.arg("-D").arg(site.data()).args(["-p", &site.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            // Whoever forgets that the server has a zone of its own shall fail here.
            "timezone=Pacific/Auckland",
            "log_timezone=UTC",
            // Safe when the process dies, which tests do; only a power cut would lose data.
            "fsync=off",
            "full_page_writes=off",
        ] {
            command.args(["-c", setting]);
        }
        command
    }

    /// Opens the protocol and looks at the first byte: an error means "still starting", a request for the password
    /// means that a client could log in.
    fn is_ready(&self, port: u16) -> bool {
        greet(port).is_ok_and(|first| first == b'R')
    }

    fn url(&self, port: u16, password: &str) -> String {
        format!("postgres://{USER}:{password}@127.0.0.1:{port}/{DATABASE}")
    }

    /// "Fast": SIGTERM would wait until the last client has gone.
    fn graceful_signal(&self) -> &'static str {
        "INT"
    }

    fn immediate_signal(&self) -> &'static str {
        "QUIT"
    }
}

/// Single-user mode needs neither a running server nor a client.
fn create_database(site: &Site, programs: &Path) -> Outcome {
    let script = site.folder.join("create.sql");
    fs::write(&script, format!("CREATE DATABASE {DATABASE}\n"))
        .map_err(|error| format!("{}: {error}", script.display()))?;
    let input = File::open(&script).map_err(|error| format!("{}: {error}", script.display()))?;
    let mut single = site.program(&programs.join("postgres"));
    single.arg("--single").arg("-D").arg(site.data()).args(["-c", "fsync=off", "postgres"]);
    let made = super::run_quietly(single.stdin(Stdio::from(input)));
    let _ = fs::remove_file(&script);
    made
}

fn greet(port: u16) -> std::io::Result<u8> {
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(&startup_message())?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    Ok(first[0])
}

/// Length, protocol 3.0, then names and values, each ended by a zero.
fn startup_message() -> Vec<u8> {
    let body = format!("user\0{USER}\0database\0{DATABASE}\0\0");
    let length = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &196_608u32.to_be_bytes(), body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::startup_message;

    #[test]
    fn startup_message_begins_with_its_own_length() {
        let message = startup_message();
        assert_eq!(message[..4], (message.len() as u32).to_be_bytes());
        assert_eq!(message[4..8], [0, 3, 0, 0]);
    }
}
