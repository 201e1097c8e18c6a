//! Which folders are taken, and how they are kept.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::Duration;

use cloakroom_backend_file::{Durability, FileSessionBackend};
use cloakroom_core::{
    ErrorKind, Filter, Owner, Record, Removal, Rotate, Scope, SessionBackend, SessionKey, Touch, Write,
};

use crate::place;

async fn refusal(path: &Path) -> String {
    let error = FileSessionBackend::open(path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    error.to_string()
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn folder_that_is_a_link_refused() {
    let (folder, link) = (place::folder(), place::folder());
    fs::create_dir(&folder).unwrap();
    symlink(&folder, &link).unwrap();
    for link in [link.clone(), link.join(""), link.join(".")] {
        assert!(refusal(&link).await.contains("is a symbolic link"), "{}", link.display());
    }
    let dangling = place::folder();
    symlink("nowhere", &dangling).unwrap();
    assert!(refusal(&dangling).await.contains("is a symbolic link"));
}

#[tokio::test]
async fn folder_that_others_may_write_to_refused() {
    let folder = place::folder();
    fs::create_dir(&folder).unwrap();
    permit(&folder, 0o702);
    assert!(refusal(&folder).await.contains("is writable by everybody"));
    permit(&folder, 0o1777);
    assert!(refusal(&folder).await.contains("is writable by everybody"));
    permit(&folder, 0o770);
    assert!(refusal(&folder).await.contains("is writable by its group"));
    permit(&folder, 0o755);
    FileSessionBackend::open(&folder).await.unwrap();
}

#[tokio::test]
async fn folder_in_one_that_others_may_write_to_refused_unless_sticky() {
    let above = place::folder();
    fs::create_dir(&above).unwrap();
    permit(&above, 0o777);
    assert!(refusal(&above.join("sessions")).await.contains("is writable by everybody and not sticky"));
    permit(&above, 0o1777);
    FileSessionBackend::open(above.join("sessions")).await.unwrap();
}

#[tokio::test]
async fn folder_of_another_user_refused() {
    let folder = place::folder();
    fs::create_dir(&folder).unwrap();
    if chown(&folder, Some(65_534), None).is_err() {
        return eprintln!("skipped: only root can give a folder away");
    }
    assert!(refusal(&folder).await.contains("belongs to another user"));
}

#[tokio::test]
async fn folder_within_that_is_a_link_refused() {
    let (folder, elsewhere) = (place::folder(), place::folder());
    drop(FileSessionBackend::open(&folder).await.unwrap());
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir(folder.join("scopes")).unwrap();
    symlink(&elsewhere, folder.join("scopes")).unwrap();
    assert!(refusal(&folder).await.contains("is a symbolic link"));
}

#[tokio::test]
async fn path_of_a_file_refused() {
    let file = place::folder();
    fs::write(&file, "x").unwrap();
    assert!(refusal(&file).await.contains("is not a folder"));
}

#[tokio::test]
async fn folder_of_something_else_refused_and_left_as_it_is() {
    let folder = place::folder();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("thesis.txt"), "x").unwrap();
    assert!(refusal(&folder).await.contains("holds something else"));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[tokio::test]
async fn folder_of_a_later_version_refused_of_a_killed_opener_taken() {
    let folder = place::folder();
    drop(FileSessionBackend::open(&folder).await.unwrap());
    fs::write(folder.join("format"), "cloakroom sessions, one file each, format 2\n").unwrap();
    assert!(refusal(&folder).await.contains("a format that this version does not know"));
    fs::write(folder.join("format"), "cloakroom ses").unwrap();
    drop(FileSessionBackend::open(&folder).await.unwrap());
    fs::write(folder.join("format"), "").unwrap();
    FileSessionBackend::open(&folder).await.unwrap();
}

#[tokio::test]
async fn folder_opened_by_many_at_once_taken_by_all() {
    for _ in 0..20 {
        let folder = place::folder();
        let opening = (0..16).map(|_| tokio::spawn(FileSessionBackend::builder(&folder).open()));
        for opened in futures_util::future::join_all(opening).await {
            opened.unwrap().unwrap();
        }
    }
}

fn check_modes(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        if entry.file_type().unwrap().is_dir() {
            assert_eq!(mode, 0o700, "{}", entry.path().display());
            files += check_modes(&entry.path());
        } else {
            assert_eq!(mode, 0o600, "{}", entry.path().display());
            files += 1;
        }
    }
    files
}

#[tokio::test]
async fn everything_within_readable_by_its_user_only() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    let record = Record::new("{}", backend.clock().now());
    let record = record.with_owner(Some(Owner::parse("user:1").unwrap()));
    for scope in ["tenant:a:", "../../escape"] {
        let at = SessionKey::generate().unwrap().scoped(&Scope::parse(scope).unwrap());
        backend.write(&at, record.clone(), Write::create()).await.unwrap();
    }
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(check_modes(&folder) > 5);
}

/// What is unmounted or deleted under a running server must not pass for an empty store.
#[tokio::test]
async fn folder_gone_unavailable_not_empty_and_not_made_again() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    let at = SessionKey::generate().unwrap();
    let record = Record::new("{}", backend.clock().now());
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    let away = place::folder();
    fs::rename(&folder, &away).unwrap();
    let all = Filter::everywhere();
    let kinds = [
        backend.read(&at).await.unwrap_err().kind(),
        backend.write(&at, record.clone(), Write::overwrite()).await.unwrap_err().kind(),
        backend.remove(&at, Removal::Explicit).await.unwrap_err().kind(),
        backend.scan(&all, None, 9).await.unwrap_err().kind(),
        backend.count(&all).await.unwrap_err().kind(),
        backend.remove_all(&all, Removal::Revoked).await.unwrap_err().kind(),
        backend.sweep(9).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Unavailable; 7]);
    assert!(!folder.exists());
    fs::rename(&away, &folder).unwrap();
    assert_eq!(backend.read(&at).await.unwrap(), Some(record));
}

#[tokio::test]
async fn default_folder_of_this_user_under_the_temporary_one() {
    let folder = FileSessionBackend::default_folder();
    assert_eq!(folder.parent(), Some(&*std::env::temp_dir()));
    assert!(folder.file_name().unwrap().to_string_lossy().starts_with("cloakroom-"));
}

#[tokio::test]
async fn url_of_a_folder_opens_it() {
    let folder = place::folder();
    let url = format!("file:{}?durability=none", folder.display());
    let backend = FileSessionBackend::connect(&url).await.unwrap();
    assert!(backend.capability().shared && backend.capability().durable && folder.is_dir());
    let error = FileSessionBackend::connect("file:/x?mode=ro").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

/// What is synced shows in a power cut only; that it works shows here.
#[tokio::test]
async fn durability_full_through_a_life() {
    let builder = FileSessionBackend::builder(place::folder());
    let builder = builder.with_durability(Durability::Full).with_timeout(Duration::MAX);
    let backend = builder.open().await.unwrap();
    let [old, new] = [(); 2].map(|()| SessionKey::generate().unwrap());
    let now = backend.clock().now();
    let record = Record::new("{}", now).with_expires_at(Some(now + Duration::from_secs(60)));
    let record = record.with_owner(Some(Owner::parse("user:1").unwrap()));
    backend.write(&old, record.clone(), Write::create()).await.unwrap();
    let next = record.clone().with_version(record.version.next(now));
    backend.rotate(&old, &new, next.clone(), Rotate::new(record.version)).await.unwrap();
    let touch = Touch::new(next.version, now + Duration::from_secs(90));
    assert!(backend.touch(&new, touch).await.unwrap().is_some());
    let there = backend.read(&new).await.unwrap().unwrap();
    assert_eq!(there.expires_at, Some(touch.expires_at));
    assert!(backend.remove(&new, Removal::Explicit).await.unwrap());
    assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 0);
}

/// No id, owner, payload or key in what a backend prints.
#[tokio::test]
async fn debug_and_errors_show_the_folder_and_no_session() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    let at = SessionKey::generate().unwrap();
    let record = Record::new("{}", backend.clock().now());
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    let error = backend.write(&at, record, Write::create()).await.unwrap_err();
    let shown = format!("{backend:?} {error} {error:?}");
    assert!(shown.contains(&folder.display().to_string()), "{shown}");
    assert!(!shown.contains(&*at.id().as_text()) && !shown.contains(at.expose()), "{shown}");
}
