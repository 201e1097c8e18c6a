//! `service` tells where a server is, or that a test did not run, but never nothing.

use std::process::{Command, Output};

const PROBE: &str = "CLOAKROOM_TESTKIT_PROBE";

/// Not a test of its own: what the tests below run in a process with another environment.
#[test]
fn probe_in_a_child_only() {
    if std::env::var_os(PROBE).is_some() {
        println!("service: {:?}", cloakroom_testkit::service("postgres"));
    }
}

fn probe(environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["--exact", "service::probe_in_a_child_only", "--nocapture"]).env(PROBE, "1");
    for variable in ["CLOAKROOM_POSTGRES_URL", "CLOAKROOM_NO_SERVICES", "CLOAKROOM_SKIPPED_LOG"] {
        command.env_remove(variable);
    }
    command.envs(environment.iter().copied()).output().expect("a child of this process")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

#[test]
fn service_with_url_gives_it() {
    let output = probe(&[("CLOAKROOM_POSTGRES_URL", "postgres://there"), ("CLOAKROOM_NO_SERVICES", "1")]);
    assert!(output.status.success());
    assert!(text(&output).contains(r#"service: Some("postgres://there")"#), "{}", text(&output));
}

#[test]
fn service_without_url_panics_and_tells_what_to_run() {
    let output = probe(&[]);
    assert!(!output.status.success(), "a test that does nothing must not pass");
    assert!(text(&output).contains("cargo xtask test"), "{}", text(&output));
}

#[test]
fn service_unwanted_is_logged_by_test_name() {
    let log = std::env::temp_dir().join(format!("cloakroom-testkit-skipped-{}", std::process::id()));
    let path = log.to_str().expect("a path of this system");
    for _ in 0..2 {
        let output = probe(&[("CLOAKROOM_NO_SERVICES", "1"), ("CLOAKROOM_SKIPPED_LOG", path)]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("service: None"), "{}", text(&output));
    }
    let logged = std::fs::read_to_string(&log).expect("the log");
    std::fs::remove_file(&log).expect("the log is ours");
    assert_eq!(logged, "service::probe_in_a_child_only: needs postgres\n".repeat(2));
}
