//! Installing a missing server where that is ours to do: as root, on Debian or Ubuntu.
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Server, account};
use crate::Outcome;

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs without letting the package start a system service: Debian asks `policy-rc.d`, and 101 means no. The file
/// goes away with the shell, however that ends, so the machine's own services are not held back later.
const SCRIPT: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
apt-get update -q
apt-get install -q -y --no-install-recommends "$@"
"#;

/// Makes sure that every server is installed.
pub(super) fn ensure(servers: &[&dyn Server]) -> Outcome {
    let mut missing: Vec<&str> =
        servers.iter().filter(|server| server.locate().is_none()).map(|server| server.package()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    missing.dedup();
    if !is_debian() || !account::is_root() {
        return Err(advice(&missing));
    }
    install(&missing)?;
    match servers.iter().find(|server| server.locate().is_none()) {
        None => Ok(()),
        Some(server) => Err(format!("{} is installed, yet its programs are not found", server.package())),
    }
}

fn advice(missing: &[&str]) -> String {
    let packages = missing.join(" ");
    format!(
        "not installed: {packages}. On Debian or Ubuntu: `apt-get install {packages}` (as root this command does it \
         itself); elsewhere install PostgreSQL and MariaDB so that their server programs are on the PATH. \
         `cargo xtask test --no-services` runs everything that needs no server."
    )
}

fn install(packages: &[&str]) -> Outcome {
    refuse_foreign_policy(packages)?;
    println!("services: installing {}", packages.join(", "));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "sh"]).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("installing {} failed: {status}", packages.join(", "))),
        Err(error) => Err(format!("/bin/sh: {error}")),
    }
}

/// A policy that the machine already has is not ours to replace; go on only if it keeps services from starting.
fn refuse_foreign_policy(packages: &[&str]) -> Outcome {
    if !Path::new(POLICY).exists() {
        return Ok(());
    }
    for service in ["postgresql", "mariadb"] {
        let status = Command::new(POLICY).args([service, "start"]).status();
        if !status.is_ok_and(|status| status.code() == Some(101)) {
            return Err(format!(
                "{POLICY} lets packages start system services; install {} by hand",
                packages.join(" ")
            ));
        }
    }
    Ok(())
}

fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release").is_ok_and(|text| names_debian(&text))
}

fn names_debian(os_release: &str) -> bool {
    let ids =
        os_release.lines().filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
    ids.flat_map(|value| value.trim_matches('"').split(' ')).any(|id| matches!(id, "debian" | "ubuntu"))
}

#[cfg(test)]
mod tests {
    use super::{advice, names_debian};

    #[test]
    fn names_debian_accepts_debian_and_its_children() {
        assert!(names_debian("NAME=x\nID=debian\n"));
        assert!(names_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
    }

    #[test]
    fn names_debian_refuses_other_systems() {
        assert!(!names_debian("ID=fedora\nID_LIKE=rhel\nVARIANT_ID=debian-like\n"));
    }

    #[test]
    fn advice_names_every_missing_package() {
        let text = advice(&["postgresql", "mariadb-server"]);
        assert!(text.contains("postgresql mariadb-server") && text.contains("--no-services"));
    }
}
