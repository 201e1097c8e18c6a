//! Sessions on disk beside the bare calls inside one `spawn_blocking`: open, read, close; create, write, fsync, rename.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_backend_file::{Durability, FileSessionBackend};
use cloakroom_bench::run::{one_thread, sequential};
use cloakroom_bench::{Bar, Cell, Report, Role};
use cloakroom_core::{Limits, Owner, Record, SessionBackend, SessionKey, Touch, Version, Write};
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

const SESSIONS: usize = 256;
const SIZES: [(&str, usize); 3] = [("500 B", 500), ("2 KB", 2_000), ("20 KB", 20_000)];
const READ: f64 = 1.5;
const WRITE: f64 = 1.3;

/// Sessions of one size, ours and as bare files of the same length in folders of the same depth.
struct Stock {
    backend: FileSessionBackend,
    keys: Vec<SessionKey>,
    versions: Arc<Mutex<Vec<Version>>>,
    files: Vec<PathBuf>,
    bytes: usize,
}

fn file_of(folder: &Path, key: &SessionKey) -> PathBuf {
    let hex: String = key.id().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join("scopes/none/sessions").join(&hex[..2]).join(&hex[2..])
}

async fn stock(folder: &Path, size: usize, durability: Durability) -> Stock {
    let ours = folder.join("ours");
    let builder = FileSessionBackend::builder(&ours).with_durability(durability);
    let backend = builder.open().await.expect("opened");
    let (mut keys, mut versions, mut files, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..SESSIONS {
        let key = SessionKey::generate().expect("a key");
        let record = record(&backend, size);
        backend.write(&key, record.clone(), Write::create()).await.expect("created");
        let twin = file_of(&folder.join("bare"), &key);
        fs::create_dir_all(twin.parent().expect("a folder")).expect("a folder");
        bytes = fs::copy(file_of(&ours, &key), &twin).expect("copied") as usize;
        keys.push(key);
        versions.push(record.version);
        files.push(twin);
    }
    Stock { backend, keys, versions: Arc::new(Mutex::new(versions)), files, bytes }
}

fn record(backend: &FileSessionBackend, size: usize) -> Record {
    let now = backend.clock().now();
    let owner = Owner::parse("user:4211093").expect("an owner");
    let record = Record::new(vec![b'x'; size], now).with_owner(Some(owner));
    record.with_expires_at(Some(now + Duration::from_secs(3600)))
}

fn reads(report: &mut Report, rt: &Runtime, folder: &Path) {
    for (label, size) in SIZES {
        let name = format!("read, {label}");
        if !report.wants(&name) {
            continue;
        }
        let stock = rt.block_on(stock(&folder.join(format!("read-{size}")), size, Durability::None));
        let (bytes, stock) = (stock.bytes, &stock);
        let cell = Cell::new(&name)
            .add("cloakroom", Role::Ours, |ops| {
                sequential(rt, ops, |index| async move {
                    let key = &stock.keys[index % SESSIONS];
                    black_box(stock.backend.read(key).await.expect("readable").expect("there"));
                })
            })
            .add("open, read, close", Role::Peer, |ops| {
                sequential(rt, ops, |index| async move {
                    let path = stock.files[index % SESSIONS].clone();
                    let read = spawn_blocking(move || {
                        let mut content = vec![0; bytes];
                        let read = File::open(path)?.read(&mut content)?;
                        std::io::Result::Ok((content, read))
                    });
                    let (content, read) = read.await.expect("no panic").expect("readable");
                    assert_eq!(read, bytes);
                    black_box(content);
                })
            });
        report.compare(&name, &cell.run(), Bar::AtMost(READ));
    }
}

/// An update of a session, or with a limit of its owner's the same for a new one.
async fn update(stock: &Stock, index: usize, size: usize) {
    let slot = index % SESSIONS;
    let expected = stock.versions.lock().expect("unpoisoned")[slot];
    let record = record(&stock.backend, size);
    let version = expected.next(record.created_at);
    let how = Write::update(expected).with_limits(Limits::none().with_per_owner(5));
    stock.backend.write(&stock.keys[slot], record.with_version(version), how).await.expect("updated");
    stock.versions.lock().expect("unpoisoned")[slot] = version;
}

async fn replace(path: PathBuf, temporary: PathBuf, content: Arc<[u8]>, durable: bool) {
    let replaced = spawn_blocking(move || {
        let mut file = File::create(&temporary)?;
        file.write_all(&content)?;
        if durable {
            file.sync_all()?;
        }
        drop(file);
        fs::rename(&temporary, &path)
    });
    replaced.await.expect("no panic").expect("replaced");
}

fn writes(report: &mut Report, rt: &Runtime, folder: &Path, durable: bool) {
    for (label, size) in SIZES {
        let name = format!("{}, {label}", if durable { "durable write" } else { "write without fsync" });
        if !report.wants(&name) {
            continue;
        }
        let durability = if durable { Durability::File } else { Durability::None };
        let folder = folder.join(format!("write-{durable}-{size}"));
        let stock = rt.block_on(stock(&folder, size, durability));
        let content: Arc<[u8]> = vec![b'x'; stock.bytes].into();
        let (stock, content, temporary) = (&stock, &content, &folder.join("bare/temporary"));
        let mut cell = Cell::new(&name);
        cell.round = Duration::from_millis(if durable { 200 } else { 25 });
        let cell = cell
            .add("cloakroom", Role::Ours, |ops| sequential(rt, ops, |index| update(stock, index, size)))
            .add("create, write, fsync, rename", Role::Peer, |ops| {
                sequential(rt, ops, |index| {
                    let path = stock.files[index % SESSIONS].clone();
                    replace(path, temporary.clone(), content.clone(), durable)
                })
            });
        // Without fsync, locks and the look at the old version are most of it.
        report.compare(&name, &cell.run(), if durable { Bar::AtMost(WRITE) } else { Bar::None });
    }
}

fn touches(report: &mut Report, rt: &Runtime, folder: &Path) {
    let name = "touch, 2 KB, beside an update";
    if !report.wants(name) {
        return;
    }
    let stock = rt.block_on(stock(&folder.join("touch"), 2_000, Durability::File));
    let stock = &stock;
    let mut cell = Cell::new(name);
    cell.round = Duration::from_millis(100);
    let cell = cell
        .add("cloakroom", Role::Ours, |ops| {
            sequential(rt, ops, |index| async move {
                let version = stock.versions.lock().expect("unpoisoned")[index % SESSIONS];
                let end = stock.backend.clock().now() + Duration::from_secs(3600);
                let touched = stock.backend.touch(&stock.keys[index % SESSIONS], Touch::new(version, end));
                assert!(touched.await.expect("touched").is_some());
            })
        })
        .add("update", Role::Peer, |ops| sequential(rt, ops, |index| update(stock, index, 2_000)));
    report.compare(name, &cell.run(), Bar::None);
}

fn main() {
    let mut report = Report::new("file");
    let rt = &one_thread();
    let folder = std::env::temp_dir().join(format!("cloakroom-bench-file-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    reads(&mut report, rt, &folder);
    writes(&mut report, rt, &folder, true);
    writes(&mut report, rt, &folder, false);
    touches(&mut report, rt, &folder);
    let _ = fs::remove_dir_all(&folder);
    report.finish();
}
