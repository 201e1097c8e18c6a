//! MariaDB.
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{DATABASE, Server, Site, USER};
use crate::Outcome;

pub(super) struct MariaDb;

impl Server for MariaDb {
    fn name(&self) -> &'static str {
        "mariadb"
    }

    fn variable(&self) -> &'static str {
        "CLOAKROOM_MARIADB_URL"
    }

    fn package(&self) -> &'static str {
        "mariadb-server"
    }

    fn accounts(&self) -> &'static [&'static str] {
        &["mysql", "nobody"]
    }

    /// The server is in an `sbin` folder, which need not be on the PATH; the folder is that of the server.
    fn locate(&self) -> Option<PathBuf> {
        let folders = search_path();
        installer(&folders)?;
        folders.into_iter().find(|folder| folder.join("mariadbd").is_file())
    }

    fn initialise(&self, site: &Site, _programs: &Path) -> Outcome {
        let installer = installer(&search_path()).ok_or("mariadb-install-db is missing")?;
        let mut install = site.program(&installer);
        // With an equals sign: as two words the option is ignored and the system's own folder is taken.
        install.arg("--no-defaults").arg(format!("--datadir={}", site.data().display()));
        // Root may come through a unix socket only, and the server below opens none.
        install.args(["--auth-root-authentication-method=socket", "--skip-test-db", "--skip-name-resolve"]);
        super::run_quietly(&mut install)?;
        let script = first_start_script(site);
        fs::write(&script, first_start(&site.password))
            .map_err(|error| format!("the start script: {error}"))?;
        site.account.as_ref().map_or(Ok(()), |account| account.own(&script))
    }

    fn command(&self, site: &Site, programs: &Path) -> Command {
        let mut command = site.program(&programs.join("mariadbd"));
        command.arg("--no-defaults");
        command.arg(format!("--datadir={}", site.data().display()));
        command.arg(format!("--tmpdir={}", site.folder.display()));
        command.arg(format!("--pid-file={}", site.folder.join("pid").display()));
        command.arg(format!("--init-file={}", first_start_script(site).display()));
        command.arg(format!("--port={}", site.port));
        command.args([
            "--bind-address=127.0.0.1",
            // No unix socket: its path would be too long in a deep checkout.
            "--socket=",
            "--skip-name-resolve",
            "--max-connections=200",
            // Tests cut connections on purpose; that must not get 127.0.0.1 banned.
            "--max-connect-errors=1000000000",
            // Whoever forgets that the server has a zone of its own shall fail here.
            "--default-time-zone=+13:00",
            // What Debian's own configuration sets, which is what people run.
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            // Safe when the process dies, which tests do; only a power cut would lose data.
            "--innodb-flush-log-at-trx-commit=2",
        ]);
        command
    }

    /// The greeting is sent once the start script has run; its fifth byte is the protocol's version.
    fn is_ready(&self, port: u16) -> bool {
        greet(port).is_ok_and(|first| first[4] == 10)
    }

    fn url(&self, port: u16, password: &str) -> String {
        format!("mysql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}")
    }

    fn graceful_signal(&self) -> &'static str {
        "TERM"
    }

    fn immediate_signal(&self) -> &'static str {
        "KILL"
    }
}

/// Read by the server at every start, so that no client program is needed to make the user.
fn first_start_script(site: &Site) -> PathBuf {
    site.folder.join("start.sql")
}

/// One statement a line, as the server demands.
fn first_start(password: &str) -> String {
    format!(
        "CREATE DATABASE IF NOT EXISTS {DATABASE};\n\
         CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
    )
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/libexec"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).collect()
}

fn installer(folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join("mariadb-install-db")).find(|program| program.is_file())
}

fn greet(port: u16) -> std::io::Result<[u8; 5]> {
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), limit)?;
    stream.set_read_timeout(Some(limit))?;
    let mut first = [0; 5];
    stream.read_exact(&mut first)?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::first_start;

    #[test]
    fn first_start_has_one_statement_a_line() {
        assert!(
            first_start("secret").lines().all(|line| line.ends_with(';') && line.matches(';').count() == 1)
        );
    }
}
