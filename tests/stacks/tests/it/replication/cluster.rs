//! A private PostgreSQL that a test may kill.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    account: Option<(u32, u32)>,
    port: u16,
    password: String,
    server: Option<Child>,
}

/// The newest release that is installed; Debian keeps them off the PATH.
fn programs() -> Option<PathBuf> {
    let releases = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut releases: Vec<_> = releases
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .collect();
    releases.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = releases.into_iter().rev().map(|(_, folder)| folder).chain(std::env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file())
}

/// PostgreSQL does not run as root.
fn account() -> Option<(u32, u32)> {
    let own = Command::new("id").arg("-u").output().expect("id").stdout;
    if own.trim_ascii() != b"0" {
        return None;
    }
    let table = fs::read_to_string("/etc/passwd").expect("users");
    let find = |name: &str| {
        let line = table.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user to run PostgreSQL as"))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Below those that outgoing connections get. None is given twice: one that is free because its server was killed is not
/// free.
fn next_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = std::process::id() * 16 + NEXT.fetch_add(1, Ordering::Relaxed);
    u16::try_from(31_000 + next % 1_700).expect("a small number")
}

impl Cluster {
    /// A running one; `None`, and logged, where services are not wanted.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs().filter(|_| std::env::var_os("CLOAKROOM_NO_SERVICES").is_none())
        else {
            cloakroom_testkit::missing_service("the programs of PostgreSQL", "PATH");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let account = account();
        let own = |path: &std::path::Path| {
            if let Some((user, group)) = account {
                chown(path, Some(user), Some(group)).expect("an owner");
            }
        };
        own(folder.path());
        let password = cloakroom_core::SessionKey::generate().expect("a secret").expose().to_owned();
        let secret = folder.path().join("password");
        fs::write(&secret, &password).expect("a file");
        own(&secret);
        let port = std::iter::repeat_with(next_port).take(900).find(|port| is_free(*port)).expect("a port");
        let mut cluster = Self { folder, programs, account, port, password, server: None };
        let mut initdb = cluster.program("initdb");
        initdb.arg("--pgdata").arg(cluster.folder.path().join("data")).arg("--pwfile").arg(&secret);
        initdb.args([
            "--username=cloakroom",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        assert!(initdb.status().expect("initdb").success());
        cluster.launch();
        cluster.wait();
        Some(cluster)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path()).env_remove("LD_LIBRARY_PATH");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts the server, without waiting for it.
    pub(crate) fn launch(&mut self) {
        let mut server = self.program("postgres");
        server.arg("-D").arg(self.folder.path().join("data")).args(["-p", &self.port.to_string()]);
        // Safe when the process dies; only a power cut would lose data.
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200"]
        {
            server.args(["-c", setting]);
        }
        self.server = Some(server.spawn().expect("postgres"));
    }

    /// Starts it until it stays: what the killed one left needs a moment to go.
    pub(crate) fn wait(&mut self) {
        let begin = Instant::now();
        loop {
            assert!(begin.elapsed() < Duration::from_secs(60), "the server does not start");
            if self.server.as_mut().is_none_or(|server| server.try_wait().expect("a status").is_some()) {
                self.launch();
            }
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20)); // tidy-allow: a real server starts
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("a kill");
            server.wait().expect("an end");
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://cloakroom:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
        // Its processes notice, and write no more into the folder that goes now.
        std::thread::sleep(Duration::from_millis(300)); // tidy-allow: a real server ends
    }
}
