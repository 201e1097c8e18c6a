//! What systems do to old files and empty folders in their temporary folders, and what a power cut takes.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use cloakroom_backend_file::FileSessionBackend;
use cloakroom_core::{
    ErrorKind, Filter, Limits, Owner, Record, Removal, SessionBackend, SessionKey, Touch, Write,
};
use rustix::fs::{FlockOperation, flock};

use crate::place;

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

fn owner() -> Owner {
    Owner::parse("user:1").expect("an owner")
}

async fn create(backend: &FileSessionBackend) -> (SessionKey, Record) {
    let (at, record) = (key(), Record::new("{}", backend.clock().now()).with_owner(Some(owner())));
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    (at, record)
}

/// All that was not used for long, and what is empty then.
fn tidy(folder: &Path) {
    fs::remove_file(folder.join("format")).unwrap();
    for name in ["damaged", "locks", "tmp"] {
        fs::remove_dir_all(folder.join(name)).unwrap();
    }
    fs::remove_dir_all(folder.join("scopes/none/owners")).unwrap();
}

#[tokio::test]
async fn folder_tidied_under_a_running_server_goes_on() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    let (at, record) = create(&backend).await;
    tidy(&folder);
    assert_eq!(backend.read(&at).await.unwrap(), Some(record));
    assert_eq!(backend.read(&key()).await.unwrap(), None, "a cookie of a session that has ended");
    let (other, _) = create(&backend).await;
    assert!(backend.remove(&other, Removal::Explicit).await.unwrap());
    fs::write(crate::damage::path_of(&folder, at.id()), "spoilt").unwrap();
    assert_eq!(backend.read(&at).await.unwrap(), None);
    assert_eq!(fs::read_dir(folder.join("damaged")).unwrap().count(), 1);
}

#[tokio::test]
async fn folder_tidied_opened_again() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    let (at, record) = create(&backend).await;
    drop(backend);
    tidy(&folder);
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    assert_eq!(backend.read(&at).await.unwrap(), Some(record));
    let format = fs::read_to_string(folder.join("format")).unwrap();
    assert!(format.ends_with("format 1\n"), "{format}");
}

#[tokio::test]
async fn folder_without_its_mark_and_with_anything_else_refused() {
    for names in [&["scopes", "thesis"][..], &["tmp"], &["tmp", "locks"], &["scopes", "tmp", ".git"]] {
        let folder = place::folder();
        for name in names {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let error = FileSessionBackend::open(&folder).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        assert!(error.to_string().contains("holds something else"), "{error}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), names.len());
    }
}

#[tokio::test]
async fn sweep_brings_back_what_was_tidied_and_keeps_the_mark_young() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    create(&backend).await;
    tidy(&folder);
    assert_eq!(backend.sweep(9).await.unwrap(), 0);
    for name in ["format", "damaged", "locks", "tmp", "scopes"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    let format = folder.join("format");
    let old = SystemTime::now() - Duration::from_secs(20 * 24 * 3600);
    let times = FileTimes::new().set_accessed(old).set_modified(old);
    File::options().write(true).open(&format).unwrap().set_times(times).unwrap();
    backend.sweep(9).await.unwrap();
    let there = fs::metadata(&format).unwrap();
    for time in [there.modified().unwrap(), there.accessed().unwrap()] {
        assert!(time > old + Duration::from_secs(24 * 3600), "{time:?}");
    }
    // What a later version made of it is its own.
    fs::write(&format, "cloakroom sessions, one file each, format 2\n").unwrap();
    backend.sweep(9).await.unwrap();
    assert!(fs::read_to_string(&format).unwrap().ends_with("format 2\n"));
}

/// `systemd-tmpfiles` passes over what it cannot lock.
#[tokio::test]
async fn folder_in_use_locked_against_tidying() {
    let folder = place::folder();
    let [one, other] = [FileSessionBackend::open(&folder).await, FileSessionBackend::open(&folder).await];
    let tidying = File::open(&folder).unwrap();
    let is_locked = || flock(&tidying, FlockOperation::NonBlockingLockExclusive).is_err();
    assert!(is_locked());
    drop(one);
    assert!(is_locked());
    drop(other);
    assert!(!is_locked());
}

#[derive(Clone, Copy, Debug)]
enum Healer {
    Touch,
    LateTouch,
    Update,
    Sweep,
}

#[tokio::test]
async fn index_lost_made_again_by_touch_update_and_sweep() {
    for healer in [Healer::Touch, Healer::LateTouch, Healer::Update, Healer::Sweep] {
        let folder = place::folder();
        let backend = FileSessionBackend::open(&folder).await.unwrap();
        let (at, record) = create(&backend).await;
        let mine = Filter::unscoped().with_owner(owner());
        fs::remove_dir_all(folder.join("scopes/none/owners")).unwrap();
        assert_eq!(backend.count(&mine).await.unwrap(), 0);
        let now = backend.clock().now();
        let next = record.clone().with_version(record.version.next(now));
        match healer {
            Healer::Touch => {
                assert!(backend.touch(&at, Touch::new(record.version, now)).await.unwrap().is_some());
            }
            Healer::LateTouch => {
                assert!(backend.touch(&at, Touch::new(next.version, now)).await.unwrap().is_some());
            }
            Healer::Update => {
                backend.write(&at, next, Write::update(record.version)).await.unwrap();
            }
            Healer::Sweep => assert_eq!(backend.sweep(1).await.unwrap(), 0),
        }
        assert_eq!(backend.count(&mine).await.unwrap(), 1, "{healer:?}");
        let limited = Write::create().with_limits(Limits::none().with_per_owner(1));
        let error = backend.write(&key(), record, limited).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{healer:?}");
        assert_eq!(backend.remove_all(&mine, Removal::Revoked).await.unwrap(), 1, "{healer:?}");
        assert_eq!(backend.read(&at).await.unwrap(), None, "{healer:?}");
    }
}

#[tokio::test]
async fn sweep_in_batches_heals_the_index_of_many() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    for _ in 0..50 {
        create(&backend).await;
    }
    fs::remove_dir_all(folder.join("scopes/none/owners")).unwrap();
    assert_eq!(backend.sweep(3).await.unwrap(), 0);
    let mine = Filter::unscoped().with_owner(owner());
    assert_eq!(backend.remove_all(&mine, Removal::Revoked).await.unwrap(), 50);
}
