//! What is known about a server between two runs of this program: `target/services/<name>/state`.
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::process::Process;
use crate::Outcome;

/// One `key=value` a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The private folder; under the system's temporary folder when the server's user cannot reach `target`.
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    pub(super) password: String,
    pub(super) url: String,
    /// `None` after a deliberate stop.
    pub(super) process: Option<Process>,
    /// Seconds since 1970.
    pub(super) started: u64,
    /// Started by a test run, and therefore stopped by the last one.
    pub(super) for_tests: bool,
}

impl State {
    /// The recorded state; `None` when there is none, or none that makes sense.
    pub(super) fn read(home: &Path) -> Outcome<Option<Self>> {
        let path = path(home);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Replaces the recorded state in one step: a reader sees the old one or the new one.
    pub(super) fn write(&self, home: &Path) -> Outcome {
        let path = path(home);
        let draft = path.with_extension("new");
        let mut options = OpenOptions::new();
        // It holds the password.
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options
            .open(&draft)
            .and_then(|mut file| file.write_all(self.render().as_bytes()))
            .and_then(|()| fs::rename(&draft, &path));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(super) fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_alive)
    }

    fn parse(text: &str) -> Option<Self> {
        let map: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let process = match map.get("pid") {
            Some(pid) => Some(Process { pid: pid.parse().ok()?, mark: (*map.get("mark")?).to_owned() }),
            None => None,
        };
        Some(Self {
            folder: PathBuf::from(map.get("folder")?),
            port: map.get("port")?.parse().ok()?,
            password: (*map.get("password")?).to_owned(),
            url: (*map.get("url")?).to_owned(),
            process,
            started: map.get("started")?.parse().ok()?,
            for_tests: *map.get("for_tests")? == "true",
        })
    }

    fn render(&self) -> String {
        let Self { folder, port, password, url, process, started, for_tests } = self;
        let mut text = format!(
            "folder={}\nport={port}\npassword={password}\nurl={url}\nstarted={started}\nfor_tests={for_tests}\n",
            folder.display()
        );
        if let Some(Process { pid, mark }) = process {
            text.push_str(&format!("pid={pid}\nmark={mark}\n"));
        }
        text
    }
}

fn path(home: &Path) -> PathBuf {
    home.join("state")
}

#[cfg(test)]
mod tests {
    use super::{Process, State};

    fn sample(process: Option<Process>) -> State {
        State {
            folder: "/somewhere/with=sign".into(),
            port: 4711,
            password: "secret".to_owned(),
            url: "postgres://u:p@127.0.0.1:4711/db?a=b".to_owned(),
            process,
            started: 12,
            for_tests: true,
        }
    }

    #[test]
    fn state_parse_returns_what_render_wrote() {
        for process in [None, Some(Process { pid: 9, mark: "Mon Jan 1".to_owned() })] {
            let state = sample(process);
            assert_eq!(State::parse(&state.render()), Some(state));
        }
    }

    #[test]
    fn state_parse_of_a_torn_file_is_none() {
        let text = sample(None).render();
        assert_eq!(State::parse(&text[..text.len() / 2]), None);
    }
}
