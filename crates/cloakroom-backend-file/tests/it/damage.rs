//! Files that are no sessions: each is skipped, moved aside once, and nobody else's trouble.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cloakroom_backend_file::{Durability, FileSessionBackend};
use cloakroom_core::{
    Filter, ManualClock, Owner, Record, Removal, Rotate, SessionBackend, SessionId, SessionKey, Touch, Write,
};

use crate::place;

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the session of an id is.
pub(crate) fn path_of(folder: &Path, id: SessionId) -> PathBuf {
    let [first, rest @ ..] = id.as_bytes();
    folder.join("scopes/none/sessions").join(hex(&[*first])).join(hex(rest))
}

struct Store {
    folder: PathBuf,
    backend: FileSessionBackend,
}

impl Store {
    async fn open() -> Self {
        let folder = place::folder();
        let builder = FileSessionBackend::builder(&folder).with_durability(Durability::None);
        Self { backend: builder.open().await.expect("a backend"), folder }
    }

    async fn create(&self) -> (SessionKey, Record, PathBuf) {
        let (at, record) = (key(), Record::new("{\"a\":1}", self.backend.clock().now()));
        let record = record.with_owner(Some(Owner::parse("user:1").expect("an owner")));
        self.backend.write(&at, record.clone(), Write::create()).await.expect("a session");
        let path = path_of(&self.folder, at.id());
        (at, record, path)
    }

    async fn count(&self) -> u64 {
        self.backend.count(&Filter::everywhere()).await.expect("a count")
    }

    fn aside(&self) -> usize {
        fs::read_dir(self.folder.join("damaged")).expect("a folder").count()
    }
}

/// Ways to spoil the file of a session.
fn spoil(path: &Path, other: &Path, way: usize) -> bool {
    let bytes = fs::read(path).unwrap();
    let replace = |bytes: &[u8]| fs::write(path, bytes).unwrap();
    match way {
        0 => replace(b""),
        1 => replace(&bytes[..7]),
        2 => replace(&bytes[..100]),
        3 => replace(&bytes[..bytes.len() - 1]),
        4 => replace(&[&bytes[..], b"x"].concat()),
        5 => replace(b"<html>not a session, but long enough to be one</html>"),
        6 => replace(&vec![0; 4096]),
        7 => {
            let mut bytes = bytes;
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            replace(&bytes);
        }
        // A session under another session's name.
        8 => drop(fs::copy(other, path).unwrap()),
        9 => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("x"), "x").unwrap();
        }
        10 => {
            fs::remove_file(path).unwrap();
            symlink(other, path).unwrap();
        }
        // Opening one for reading would wait for a writer.
        11 => {
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }
        12 => {
            let mut bytes = bytes;
            bytes[8] = 2;
            replace(&bytes);
        }
        _ => return false,
    }
    true
}

/// What an operation on a spoilt session finds.
async fn operate(store: &Store, at: &SessionKey, record: &Record, operation: usize) {
    let backend = &store.backend;
    let now = backend.clock().now();
    match operation {
        0 => assert_eq!(backend.read(at).await.unwrap(), None),
        1 => {
            let how = Write::create();
            backend.write(at, record.clone(), how).await.unwrap();
            assert_eq!(backend.read(at).await.unwrap().as_ref(), Some(record));
            assert!(backend.remove(at, Removal::Explicit).await.unwrap());
        }
        2 => {
            backend.write(at, record.clone(), Write::update(record.version)).await.unwrap_err();
        }
        3 => assert_eq!(backend.touch(at, Touch::new(record.version, now)).await.unwrap(), None),
        4 => assert!(!backend.remove(at, Removal::Explicit).await.unwrap()),
        5 => {
            let how = Rotate::new(record.version);
            backend.rotate(at, &key(), record.clone(), how).await.unwrap_err();
        }
        6 => {
            let all = Filter::everywhere().with_payload();
            assert_eq!(backend.scan(&all, None, 100).await.unwrap().entries.len(), 1);
        }
        7 => assert_eq!(backend.sweep(100).await.unwrap(), 0),
        _ => {
            let mine = Filter::unscoped().with_owner(record.owner.clone().unwrap()).with_payload();
            assert_eq!(backend.scan(&mine, None, 100).await.unwrap().entries.len(), 1);
        }
    }
}

#[tokio::test]
async fn damaged_file_of_any_kind_skipped_and_moved_aside_once() {
    for way in 0.. {
        for operation in 0..=8 {
            let store = Store::open().await;
            let (good, good_record, good_path) = store.create().await;
            let (at, record, path) = store.create().await;
            if !spoil(&path, &good_path, way) {
                return;
            }
            // A header that is whole answers for a payload that is not; only what reads payloads finds out.
            let only_payload = matches!(way, 3 | 4 | 7);
            if only_payload && matches!(operation, 1..=5 | 7) {
                continue;
            }
            operate(&store, &at, &record, operation).await;
            assert_eq!(store.aside(), 1, "way {way}, operation {operation}");
            assert_eq!(store.backend.read(&at).await.unwrap(), None);
            assert_eq!(store.count().await, 1);
            assert_eq!(store.backend.read(&good).await.unwrap(), Some(good_record));
            assert_eq!(store.backend.statistics().set_aside, 1, "reported once");
        }
    }
}

#[tokio::test]
async fn header_alone_answers_count_scan_touch_and_sweep() {
    let store = Store::open().await;
    let (at, record, path) = store.create().await;
    let end = record.created_at + Duration::from_secs(60);
    let next = record.clone().with_expires_at(Some(end));
    store.backend.write(&at, next.clone(), Write::update(record.version)).await.unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - next.payload.len()]).unwrap();
    assert_eq!(store.count().await, 1);
    assert_eq!(store.backend.scan(&Filter::unscoped(), None, 9).await.unwrap().entries.len(), 1);
    let past = Touch::new(next.version, record.created_at);
    assert!(store.backend.touch(&at, past).await.unwrap().is_some());
    assert_eq!(store.backend.sweep(9).await.unwrap(), 0);
    assert_eq!(store.aside(), 0, "nobody missed the payload");
    assert_eq!(store.backend.read(&at).await.unwrap(), None);
    assert_eq!(store.aside(), 1);
}

#[tokio::test]
async fn foreign_names_anywhere_moved_aside_sessions_stay() {
    let store = Store::open().await;
    let (at, record, path) = store.create().await;
    let places = [
        path.with_file_name("README"),
        path.with_file_name("UPPER".repeat(8)),
        path.with_extension("bak"),
        store.folder.join("scopes/none/sessions/zz"),
        store.folder.join("scopes/none/sessions/0A"),
        store.folder.join("scopes/other"),
        store.folder.join("tmp/upload.part"),
    ];
    for place in &places {
        fs::write(place, "x").unwrap();
    }
    // A file where a folder belongs.
    let shard = (0..=255).map(|shard| store.folder.join(format!("scopes/none/sessions/{shard:02x}")));
    let free = shard.clone().find(|shard| !shard.exists()).unwrap();
    fs::write(&free, "x").unwrap();
    assert_eq!(store.backend.sweep(100).await.unwrap(), 0);
    assert_eq!(store.count().await, 1);
    assert_eq!(store.aside(), places.len() + 1);
    assert_eq!(store.backend.read(&at).await.unwrap(), Some(record));
}

#[tokio::test]
async fn file_in_place_of_a_folder_moved_aside_by_the_next_write() {
    for depth in 1..=3 {
        let store = Store::open().await;
        let at = key();
        let path = path_of(&store.folder, at.id());
        let folder = path.ancestors().nth(depth).unwrap();
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        fs::write(folder, "x").unwrap();
        assert_eq!(store.backend.read(&at).await.unwrap(), None);
        let record = Record::new("{}", store.backend.clock().now());
        store.backend.write(&at, record.clone(), Write::create()).await.unwrap();
        assert_eq!(store.backend.read(&at).await.unwrap(), Some(record));
        assert_eq!((store.aside(), store.count().await), (1, 1), "{depth} above the session");
    }
}

#[tokio::test]
async fn damaged_files_beyond_a_thousand_the_oldest_go() {
    let store = Store::open().await;
    for number in 0..1_000 {
        fs::write(store.folder.join(format!("damaged/{number:014}-1-0")), "old").unwrap();
    }
    let (at, _, path) = store.create().await;
    fs::write(path, "").unwrap();
    assert_eq!(store.backend.read(&at).await.unwrap(), None);
    assert_eq!(store.aside(), 1_000);
    assert!(!store.folder.join("damaged/00000000000000-1-0").exists());
}

/// They may hold what visitors entered.
#[tokio::test]
async fn damaged_files_older_than_a_week_swept() {
    let (clock, folder) = (ManualClock::new(), place::folder());
    let backend = FileSessionBackend::builder(&folder).with_clock(clock.clock()).open().await.unwrap();
    let store = Store { folder, backend };
    for _ in 0..2 {
        let (at, _, path) = store.create().await;
        fs::write(path, "cut off").unwrap();
        assert_eq!(store.backend.read(&at).await.unwrap(), None);
        clock.advance(Duration::from_secs(3600));
    }
    fs::write(store.folder.join("damaged/notes"), "of somebody who looks into it").unwrap();
    clock.advance(Duration::from_secs(7 * 24 * 3600 - 2 * 3600) - Duration::from_millis(1));
    assert_eq!((store.backend.sweep(9).await.unwrap(), store.aside()), (0, 3));
    clock.advance(Duration::from_millis(1));
    assert_eq!((store.backend.sweep(9).await.unwrap(), store.aside()), (0, 2));
    clock.advance(Duration::from_secs(3600));
    assert_eq!((store.backend.sweep(9).await.unwrap(), store.aside()), (0, 1));
    assert!(store.folder.join("damaged/notes").exists());
}

/// Makes the header of a session without scope and owner say that its payload has so many bytes.
fn declare(path: &Path, length: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..140]);
    bytes[140..144].copy_from_slice(&crc.to_le_bytes());
    let mut slot = crc32fast::Hasher::new_with_initial(crc);
    slot.update(&bytes[144..168]);
    bytes[168..172].copy_from_slice(&slot.finalize().to_le_bytes());
    fs::write(path, &bytes).unwrap();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(208 + length).unwrap();
}

fn peak_of_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[tokio::test]
async fn header_that_declares_3_gib_damaged_without_reading_them() {
    let folder = place::folder();
    let backend = FileSessionBackend::builder(&folder).with_max_payload(1_000).open().await.unwrap();
    let store = Store { folder, backend };
    for operation in 0..2 {
        let at = key();
        let record = Record::new("abc", store.backend.clock().now());
        store.backend.write(&at, record, Write::create()).await.unwrap();
        let path = path_of(&store.folder, at.id());
        declare(&path, 3);
        assert!(store.backend.read(&at).await.unwrap().is_some(), "the header fits");
        declare(&path, 3 << 30);
        let before = peak_of_memory();
        match operation {
            0 => assert_eq!(store.backend.read(&at).await.unwrap(), None),
            _ => assert_eq!(store.count().await, 0),
        }
        let grown = peak_of_memory().zip(before).map_or(0, |(after, before)| after - before);
        assert!(grown < 1 << 20, "{grown} kB more");
        assert_eq!(store.aside(), operation + 1);
    }
}

#[tokio::test]
async fn session_that_an_earlier_setting_let_in_stays_readable() {
    let store = Store::open().await;
    let (at, record) = (key(), Record::new(vec![b'x'; 1 << 20], store.backend.clock().now()));
    store.backend.write(&at, record.clone(), Write::create()).await.unwrap();
    let stricter = FileSessionBackend::builder(&store.folder).with_max_payload(1_000).open().await.unwrap();
    assert_eq!(stricter.read(&at).await.unwrap(), Some(record));
}
