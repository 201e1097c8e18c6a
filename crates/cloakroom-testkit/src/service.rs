use std::io::Write;

/// The address of a server that a test needs, such as `service("postgres")`: what `CLOAKROOM_POSTGRES_URL` says. A hyphen
/// in the name is an underscore there.
///
/// Where it is not set and `CLOAKROOM_NO_SERVICES` is, the test's name is printed and appended to the file that
/// `CLOAKROOM_SKIPPED_LOG` names, and the answer is `None`: the test returns, and the log tells that it did not run.
///
/// # Panics
/// When neither is set: a test that silently does nothing looks like one that passed.
#[must_use]
pub fn service(name: &str) -> Option<String> {
    let variable = format!("CLOAKROOM_{}_URL", name.to_ascii_uppercase().replace('-', "_"));
    match std::env::var(&variable) {
        Ok(url) if !url.is_empty() => Some(url),
        _ => {
            missing_service(name, &variable);
            None
        }
    }
}

/// Notes that the running test is skipped because something it needs is missing, named by the variable that would
/// tell where it is. For tests which need what [`service`] does not know.
///
/// # Panics
/// Unless `CLOAKROOM_NO_SERVICES` is set.
pub fn missing_service(name: &str, variable: &str) {
    assert!(
        std::env::var_os("CLOAKROOM_NO_SERVICES").is_some(),
        "this test needs {name}, and {variable} is not set: run `cargo xtask test`, or start the servers with \
         `cargo xtask services up`; with CLOAKROOM_NO_SERVICES=1 such tests are skipped and logged"
    );
    let thread = std::thread::current();
    let line = format!("{}: needs {name}\n", thread.name().unwrap_or("unnamed test"));
    #[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was skipped")]
    {
        eprint!("skipped {line}");
    }
    if let Some(path) = std::env::var_os("CLOAKROOM_SKIPPED_LOG") {
        // One write of one line: tests of several processes append to the same file.
        let log = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let logged = log.and_then(|mut log| log.write_all(line.as_bytes()));
        logged.unwrap_or_else(|error| panic!("the log of skipped tests cannot be written: {error}"));
    }
}
