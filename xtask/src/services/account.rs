//! The unprivileged user a server runs as when we are root.
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Outcome;

/// A user of this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The first of the candidates that exists; `None` when we are not root and need no other user.
    pub(super) fn choose(candidates: &[&str]) -> Outcome<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        let table = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
        let found = candidates.iter().find_map(|name| find(&table, name));
        found.map(Some).ok_or_else(|| format!("none of the users {} exists", candidates.join(", ")))
    }

    /// Makes the command run as this user, without any further group.
    pub(super) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    pub(super) fn own(&self, path: &Path) -> Outcome {
        chown(path, Some(self.uid), Some(self.gid)).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Asks the kernel rather than reading modes: every ancestor, access list and mount option counts.
    pub(super) fn can_write(&self, folder: &Path) -> bool {
        let mut probe = Command::new("/bin/sh");
        probe.args(["-c", r#"cd "$1" && : > probe && rm probe"#, "sh"]).arg(folder);
        self.apply(&mut probe);
        let status = probe.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

pub(super) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn find(table: &str, name: &str) -> Option<Account> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, find};

    const TABLE: &str = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104::/var:/bin/sh\nbroken:x\n";

    #[test]
    fn account_find_returns_the_ids_of_a_listed_user() {
        assert_eq!(find(TABLE, "postgres"), Some(Account { uid: 101, gid: 104 }));
    }

    #[test]
    fn account_find_without_a_complete_line_finds_nobody() {
        assert_eq!(find(TABLE, "post"), None);
        assert_eq!(find(TABLE, "broken"), None);
    }
}
