//! Who else may write to where the folder lies, or puts another folder in its place.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use cloakroom_backend_file::FileSessionBackend;
use cloakroom_core::{
    ErrorKind, Filter, Owner, Record, Removal, Rotate, SessionBackend, SessionError, SessionKey, Touch, Write,
};

use crate::place;

const NOBODY: u32 = 65_534;

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

fn make(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// All that is in a folder, with its bytes.
fn content(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.push((entry.path(), None));
            found.extend(content(&entry.path()));
        } else {
            found.push((entry.path(), fs::read(entry.path()).ok()));
        }
    }
    found.sort();
    found
}

async fn try_everything(backend: &FileSessionBackend, at: &SessionKey, record: &Record) -> Vec<SessionError> {
    let all = Filter::everywhere();
    let next = record.clone().with_version(record.version.next(record.created_at));
    vec![
        backend.read(at).await.unwrap_err(),
        backend.read(&key()).await.unwrap_err(),
        backend.write(&key(), record.clone(), Write::create()).await.unwrap_err(),
        backend.write(at, next.clone(), Write::update(record.version)).await.unwrap_err(),
        backend.touch(at, Touch::new(record.version, record.created_at)).await.unwrap_err(),
        backend.rotate(at, &key(), next, Rotate::new(record.version)).await.unwrap_err(),
        backend.remove(at, Removal::Explicit).await.unwrap_err(),
        backend.scan(&all.clone().with_payload(), None, 9).await.unwrap_err(),
        backend.count(&all).await.unwrap_err(),
        backend.remove_all(&all, Removal::Revoked).await.unwrap_err(),
        backend.sweep(9).await.unwrap_err(),
    ]
}

/// The system tidies the folder away under a running server, and somebody puts one with a session of theirs there.
#[tokio::test]
async fn folder_exchanged_under_a_running_server_neither_read_nor_written() {
    let above = place::folder();
    make(&above, 0o1777);
    let (mine, planted) = (above.join("sessions"), above.join("planted"));
    let running = FileSessionBackend::open(&mine).await.unwrap();
    let (at, admin) = (key(), Record::new("{\"role\":\"admin\"}", running.clock().now()));
    let admin = admin.with_owner(Some(Owner::parse("root").unwrap()));
    let preparing = FileSessionBackend::open(&planted).await.unwrap();
    preparing.write(&at, admin.clone(), Write::create()).await.unwrap();
    drop(preparing);
    fs::remove_dir_all(&mine).unwrap();
    fs::rename(&planted, &mine).unwrap();
    if chown(&mine, Some(NOBODY), Some(NOBODY)).is_err() {
        eprintln!("not root: the folder that was put there belongs to the same user");
    }
    let before = content(&mine);
    for error in try_everything(&running, &at, &admin).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("another folder has taken the place"), "{error}");
    }
    assert_eq!(content(&mine), before);
}

/// File systems give the number of a deleted folder to the next one at once.
#[tokio::test]
async fn folder_deleted_and_made_again_never_taken_for_the_same() {
    for _ in 0..20 {
        let folder = place::folder();
        let running = FileSessionBackend::open(&folder).await.unwrap();
        fs::remove_dir_all(&folder).unwrap();
        make(&folder, 0o700);
        assert_eq!(running.read(&key()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}

async fn check_refused(path: &Path, because: &str) {
    let error = FileSessionBackend::open(path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains(because), "{error}");
    assert!(!path.exists(), "refused before it is made");
}

#[tokio::test]
async fn folder_below_one_that_everybody_may_write_to_refused_at_any_depth() {
    let above = place::folder();
    make(&above, 0o777);
    make(&above.join("a"), 0o755);
    make(&above.join("a/b"), 0o755);
    for path in [above.join("s"), above.join("a/s"), above.join("a/b/s"), above.join("a/new/s")] {
        check_refused(&path, "is writable by everybody and not sticky").await;
    }
    fs::set_permissions(&above, Permissions::from_mode(0o1777)).unwrap();
    FileSessionBackend::open(above.join("a/b/s")).await.unwrap();
}

#[tokio::test]
async fn folder_below_one_of_a_group_refused_unless_it_is_the_owners_own() {
    let above = place::folder();
    make(&above, 0o755);
    if chown(&above, None, Some(NOBODY)).is_err() {
        return eprintln!("skipped: only root can give a folder to any group");
    }
    for mode in [0o775, 0o2775, 0o2770] {
        fs::set_permissions(&above, Permissions::from_mode(mode)).unwrap();
        check_refused(&above.join("s"), "is writable by its group").await;
    }
    fs::set_permissions(&above, Permissions::from_mode(0o1775)).unwrap();
    drop(FileSessionBackend::open(above.join("sticky")).await.unwrap());
    fs::set_permissions(&above, Permissions::from_mode(0o775)).unwrap();
    chown(&above, None, Some(0)).unwrap();
    FileSessionBackend::open(above.join("own")).await.unwrap();
}

#[tokio::test]
async fn folder_below_one_of_another_user_refused() {
    let above = place::folder();
    make(&above, 0o755);
    if chown(&above, Some(NOBODY), None).is_err() {
        return eprintln!("skipped: only root can give a folder away");
    }
    check_refused(&above.join("s"), "belongs to another user").await;
    make(&above.join("mine"), 0o755);
    check_refused(&above.join("mine/s"), "belongs to another user").await;
}

#[tokio::test]
async fn link_on_the_way_followed_once_and_checked_where_it_leads() {
    let (open, closed, links) = (place::folder(), place::folder(), place::folder());
    make(&open, 0o777);
    make(&closed, 0o755);
    make(&links, 0o755);
    symlink(&open, links.join("open")).unwrap();
    symlink(&closed, links.join("closed")).unwrap();
    check_refused(&links.join("open/s"), "is writable by everybody and not sticky").await;
    let backend = FileSessionBackend::open(links.join("closed/s")).await.unwrap();
    let (at, record) = (key(), Record::new("{}", backend.clock().now()));
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    // Where it leads later is no matter of this backend.
    fs::remove_file(links.join("closed")).unwrap();
    symlink(&open, links.join("closed")).unwrap();
    assert_eq!(backend.read(&at).await.unwrap(), Some(record));
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
}
