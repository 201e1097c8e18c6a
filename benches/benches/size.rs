//! What a dependency costs: crates beside axum's own, and the time of a clean build, in one run.
//!
//! Two scratch projects with an empty `main`, locked first so that no build waits for the network. `SIZE_BUILDS` says
//! how many builds of each are timed (default 3, interleaved; the best counts).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use cloakroom_bench::Report;

struct Project {
    name: &'static str,
    folder: PathBuf,
}

impl Project {
    fn new(root: &Path, name: &'static str, dependencies: &str) -> Self {
        let folder = root.join(name);
        std::fs::create_dir_all(folder.join("src")).expect("a folder");
        let manifest = format!(
            "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\naxum = \"0.8\"\n{dependencies}"
        );
        std::fs::write(folder.join("Cargo.toml"), manifest).expect("written");
        std::fs::write(folder.join("src/main.rs"), "fn main() {}\n").expect("written");
        let project = Self { name, folder };
        assert!(project.cargo(&["fetch", "--quiet"]).status.success(), "{name}: its dependencies can be had");
        project
    }

    fn cargo(&self, args: &[&str]) -> Output {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args).current_dir(&self.folder);
        command.env("CARGO_TARGET_DIR", self.folder.join("target"));
        command.output().expect("cargo runs")
    }

    /// The crates that a build compiles, without the project itself.
    fn crates(&self) -> HashSet<String> {
        let out = self.cargo(&["tree", "-e", "normal,build", "--prefix", "none", "--no-dedupe", "-f", "{p}"]);
        let text = String::from_utf8(out.stdout).expect("text");
        let names = text.lines().filter_map(|line| {
            let mut words = line.split(' ');
            Some(format!("{} {}", words.next()?, words.next()?))
        });
        names.filter(|name| !name.starts_with("scratch ")).collect()
    }

    fn build(&self) -> f64 {
        let _ = std::fs::remove_dir_all(self.folder.join("target"));
        let start = Instant::now();
        let out = self.cargo(&["build", "--offline", "--quiet"]);
        assert!(out.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&out.stderr));
        start.elapsed().as_secs_f64()
    }
}

fn main() {
    let mut report = Report::new("size");
    if !report.wants("size") {
        return;
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let root = std::env::temp_dir().join(format!("cloakroom-size-{}", std::process::id()));
    let facade = crates.join("cloakroom");
    let dependencies = if facade.join("Cargo.toml").exists() {
        format!("cloakroom = {{ path = {facade:?} }}\n")
    } else {
        report.note("the facade is not there yet: its default parts instead");
        let (core, tower) = (crates.join("cloakroom-core"), crates.join("cloakroom-tower"));
        format!(
            "cloakroom-core = {{ path = {core:?}, features = [\"axum\"] }}\ncloakroom-tower = {{ path = {tower:?} }}\n"
        )
    };
    let axum = Project::new(&root, "axum", "");
    let ours = Project::new(&root, "cloakroom", &dependencies);
    let peer = Project::new(&root, "tower-sessions", "tower-sessions = \"0.15.0\"\n");
    let base = axum.crates();
    let more = |project: &Project| project.crates().difference(&base).count();
    report.note(&format!("axum alone: {} crates", base.len()));
    let (our_crates, peer_crates) = (more(&ours), more(&peer));
    report.row(
        "crates on top of axum's, default features",
        &our_crates.to_string(),
        &format!("tower-sessions with its memory store {peer_crates}"),
        our_crates as f64 / peer_crates as f64,
        "< 1",
        our_crates < peer_crates,
    );
    let builds: usize = std::env::var("SIZE_BUILDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let (mut our_time, mut peer_time) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..builds {
        our_time = our_time.min(ours.build());
        peer_time = peer_time.min(peer.build());
    }
    if builds > 0 {
        report.row(
            "clean build with axum",
            &format!("{our_time:.1} s"),
            &format!("tower-sessions {peer_time:.1} s"),
            our_time / peer_time,
            "< 1",
            our_time < peer_time,
        );
    }
    let _ = std::fs::remove_dir_all(&root);
    report.finish();
}
