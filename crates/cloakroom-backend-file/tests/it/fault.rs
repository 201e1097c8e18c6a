//! The disk is full, read-only, or descriptors run out. Each in a process of its own, so that nobody else suffers.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use cloakroom_backend_file::FileSessionBackend;
use cloakroom_core::{
    ErrorKind, Filter, ManualClock, Owner, Record, Removal, Rotate, SessionBackend, SessionKey, Touch, Write,
};
use futures_util::future::join_all;

use crate::{child, place};

/// How a shell says that it could not prepare what is under test.
const UNABLE: i32 = 77;

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

fn check(output: &Output) {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
}

/// On a small file system of its own, which goes with the process. `false` = this user may not mount one.
#[must_use]
fn is_run_on_a_small_disk(test: &str) -> bool {
    let folder = place::folder();
    fs::create_dir(&folder).expect("a folder");
    let script = format!(
        "mount -t tmpfs -o size=1m,mode=700 none '{}' || exit {UNABLE}; exec \"$0\" \"$@\"",
        folder.display()
    );
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", &script]);
    match child::command_after(&mut shell, test, &folder.join("sessions")).output() {
        Err(_) => false,
        // A test that fails ends with 101.
        Ok(output) if matches!(output.status.code(), Some(1 | UNABLE)) => false,
        Ok(output) => {
            check(&output);
            true
        }
    }
}

#[test]
fn disk_full_error_and_the_old_values_stay() {
    if !is_run_on_a_small_disk("fault::child_on_a_disk_that_fills_up") {
        eprintln!("skipped: no right to mount a small file system");
    }
}

#[test]
fn child_on_a_disk_that_fills_up() {
    let Some(folder) = child::folder() else { return };
    child::run(async {
        let clock = ManualClock::new();
        let backend = FileSessionBackend::builder(&folder).with_clock(clock.clock()).open().await.unwrap();
        let brief = Record::new(vec![b'x'; 50_000], clock.now());
        let brief = brief.with_expires_at(Some(clock.now() + Duration::from_secs(1)));
        backend.write(&key(), brief, Write::create()).await.unwrap();
        let mut kept = Vec::new();
        let error = loop {
            let (at, record) = (key(), Record::new(vec![b'x'; 50_000], backend.clock().now()));
            match backend.write(&at, record.clone(), Write::create()).await {
                Ok(_) => kept.push((at, record)),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Unexpected);
        assert!(error.to_string().contains("no space left"), "{error}");
        assert!(kept.len() > 5, "{} sessions", kept.len());
        // More than is left, in the place of what is there.
        let (at, record) = &kept[0];
        let next = Record::new(vec![b'y'; 200_000], backend.clock().now());
        for how in [Write::update(record.version), Write::overwrite()] {
            let error = backend.write(at, next.clone(), how).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unexpected, "{error}");
        }
        let new = key();
        let error = backend.rotate(at, &new, next, Rotate::new(record.version)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unexpected, "{error}");
        assert_eq!(backend.read(&new).await.unwrap(), None);
        assert_eq!(fs::read_dir(folder.join("tmp")).unwrap().count(), 0, "a temporary file was left");
        for (at, record) in &kept {
            assert_eq!(backend.read(at).await.unwrap().as_ref(), Some(record));
        }
        assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), kept.len() as u64 + 1);
        // Room can be made, by a sweep that finds the mark gone too.
        fs::remove_file(folder.join("format")).unwrap();
        clock.advance(Duration::from_secs(1));
        assert_eq!(backend.sweep(9).await.unwrap(), 1);
        assert!(fs::read_to_string(folder.join("format")).unwrap().ends_with("format 1\n"));
        for (at, _) in &kept[1..4] {
            assert!(backend.remove(at, Removal::Explicit).await.unwrap());
        }
        backend.write(&key(), record.clone(), Write::create()).await.unwrap();
        assert_eq!(backend.statistics().set_aside, 0);
    });
}

#[test]
fn disk_read_only_error_and_reads_go_on() {
    if !is_run_on_a_small_disk("fault::child_on_a_disk_that_becomes_read_only") {
        eprintln!("skipped: no right to mount a small file system");
    }
}

fn remount(folder: &Path, how: &str) {
    let mount = folder.parent().expect("the mount");
    let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(mount).status();
    assert!(done.expect("mount").success());
}

#[test]
fn child_on_a_disk_that_becomes_read_only() {
    let Some(folder) = child::folder() else { return };
    child::run(async {
        let backend = FileSessionBackend::open(&folder).await.unwrap();
        let [at, damaged] = [key(), key()];
        let record = Record::new("{}", backend.clock().now());
        for at in [&at, &damaged] {
            backend.write(at, record.clone(), Write::create()).await.unwrap();
        }
        fs::write(crate::damage::path_of(&folder, damaged.id()), "").unwrap();
        remount(&folder, "ro");
        let next = Record::new("next", backend.clock().now());
        let end = record.created_at;
        let errors = [
            backend.write(&at, next.clone(), Write::update(record.version)).await.unwrap_err(),
            backend.write(&key(), next.clone(), Write::create()).await.unwrap_err(),
            backend.rotate(&at, &key(), next.clone(), Rotate::new(record.version)).await.unwrap_err(),
            backend.touch(&at, Touch::new(record.version, end)).await.unwrap_err(),
            backend.remove(&at, Removal::Explicit).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unexpected);
            assert!(error.to_string().contains("read-only"), "{error}");
        }
        for _ in 0..3 {
            assert_eq!(backend.read(&at).await.unwrap().as_ref(), Some(&record));
            assert_eq!(backend.read(&damaged).await.unwrap(), None);
            assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 1);
        }
        remount(&folder, "rw");
        backend.write(&at, next.clone(), Write::update(record.version)).await.unwrap();
        assert_eq!(backend.read(&at).await.unwrap(), Some(next));
    });
}

#[test]
fn disk_failing_for_a_while_unavailable_and_nothing_moved() {
    if !is_run_on_a_small_disk("fault::child_on_a_disk_that_fails_to_read") {
        eprintln!("skipped: no right to mount a small file system");
    }
}

#[test]
fn child_on_a_disk_that_fails_to_read() {
    let Some(folder) = child::folder() else { return };
    child::run(async {
        let backend = FileSessionBackend::open(&folder).await.unwrap();
        let clock = backend.clock().clone();
        let [bad, good] = [key(), key()];
        let owner = Owner::parse("user:1").unwrap();
        let record = Record::new("{}", clock.now()).with_owner(Some(owner.clone()));
        for at in [&bad, &good] {
            backend.write(at, record.clone(), Write::create()).await.unwrap();
        }
        // Reading where this process has no memory is EIO.
        let path = crate::damage::path_of(&folder, bad.id());
        let memory = format!("/proc/{}/mem", std::process::id());
        let mounted = Command::new("mount").args(["--bind", &memory]).arg(&path).status().unwrap();
        let is_failing = |error: &std::io::Error| error.raw_os_error() == Some(5);
        if !mounted.success() || !fs::read(&path).is_err_and(|error| is_failing(&error)) {
            return eprintln!("skipped: this system fails in another way");
        }
        let mine = Filter::unscoped().with_owner(owner);
        let errors = [
            backend.read(&bad).await.unwrap_err(),
            backend.write(&bad, record.clone(), Write::overwrite()).await.unwrap_err(),
            backend.touch(&bad, Touch::new(record.version, clock.now())).await.unwrap_err(),
            backend.remove(&bad, Removal::Explicit).await.unwrap_err(),
            backend.count(&mine).await.unwrap_err(),
            backend.remove_all(&mine, Removal::Revoked).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        assert_eq!(backend.sweep(9).await.unwrap(), 0, "the others are swept");
        assert_eq!(backend.read(&good).await.unwrap().as_ref(), Some(&record));
        assert!(Command::new("umount").arg(&path).status().unwrap().success());
        assert_eq!(backend.read(&bad).await.unwrap().as_ref(), Some(&record));
        assert_eq!(backend.statistics().set_aside, 0);
        assert_eq!(backend.remove_all(&mine, Removal::Revoked).await.unwrap(), 2);
    });
}

#[test]
fn sessions_by_far_more_than_descriptors_all_served() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]);
    let test = "fault::child_with_64_descriptors";
    check(&child::command_after(&mut shell, test, &place::folder()).output().expect("a shell"));
}

#[test]
fn child_with_64_descriptors() {
    let Some(folder) = child::folder() else { return };
    child::run(async {
        let backend = FileSessionBackend::open(&folder).await.unwrap();
        let owner = Owner::parse("user:1").unwrap();
        let tasks = (0..500).map(|number| {
            let (backend, at, new, owner) = (backend.clone(), key(), key(), owner.clone());
            tokio::spawn(async move {
                let record = Record::new(vec![b'x'; 100_000], backend.clock().now()).with_owner(Some(owner));
                backend.write(&at, record.clone(), Write::create()).await.unwrap();
                for _ in 0..3 {
                    assert_eq!(backend.read(&at).await.unwrap().as_ref(), Some(&record));
                }
                if number % 2 == 0 {
                    let next = record.clone().with_version(record.version.next(record.created_at));
                    let how = Rotate::new(record.version);
                    backend.rotate(&at, &new, next.clone(), how).await.unwrap();
                    assert_eq!(backend.read(&new).await.unwrap(), Some(next));
                }
                if number % 50 == 0 {
                    backend.count(&Filter::everywhere()).await.unwrap();
                    backend.sweep(10).await.unwrap();
                }
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        let all = Filter::everywhere();
        assert_eq!(backend.count(&all.clone().with_owner(owner)).await.unwrap(), 500);
        assert_eq!(backend.remove_all(&all, Removal::Revoked).await.unwrap(), 500);
    });
}
