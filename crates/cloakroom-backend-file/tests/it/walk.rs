//! What operations on many sessions read.

use std::path::Path;

use cloakroom_backend_file::{Durability, FileSessionBackend};
use cloakroom_core::{
    Filter, Limits, ManualClock, Owner, Record, Removal, Scope, SessionBackend, SessionKey, Write,
};
use futures_util::StreamExt;

use crate::place;

const SESSIONS: usize = 5_000;
const OWNERS: usize = 1_000;

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

fn owner(number: usize) -> Owner {
    Owner::parse(&format!("user:{number}")).expect("an owner")
}

async fn filled(folder: &Path) -> FileSessionBackend {
    let builder = FileSessionBackend::builder(folder).with_durability(Durability::None);
    let backend = builder.open().await.expect("a backend");
    let creating = futures_util::stream::iter(0..SESSIONS).map(|number| {
        let record = Record::new("{}", backend.clock().now()).with_owner(Some(owner(number % OWNERS)));
        let backend = backend.clone();
        async move { backend.write(&key(), record, Write::create()).await.expect("a session") }
    });
    creating.buffer_unordered(32).collect::<Vec<_>>().await;
    backend
}

/// How many session files a call opens.
async fn opened<T>(backend: &FileSessionBackend, call: impl Future<Output = T>) -> (T, u64) {
    let before = backend.statistics().opened;
    let result = call.await;
    (result, backend.statistics().opened - before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_among_5_000_sessions_looked_up_without_reading_the_others() {
    let folder = place::folder();
    let backend = filled(&folder).await;
    let each = (SESSIONS / OWNERS) as u64;
    let mine = Filter::unscoped().with_owner(owner(7));
    let (count, files) = opened(&backend, backend.count(&mine)).await;
    assert_eq!((count.unwrap(), files), (each, each), "count");
    let (page, files) = opened(&backend, backend.scan(&mine, None, 100)).await;
    assert_eq!((page.unwrap().entries.len() as u64, files), (each, each), "scan");
    let anywhere = Filter::everywhere().with_owner(owner(7));
    let (count, files) = opened(&backend, backend.count(&anywhere)).await;
    assert_eq!((count.unwrap(), files), (each, each), "count in all scopes");
    let another = Record::new("{}", backend.clock().now()).with_owner(Some(owner(7)));
    let limits = Limits::none().with_per_owner(each + 1).with_per_scope(2 * SESSIONS as u64);
    let create = Write::create().with_limits(limits);
    let (created, files) = opened(&backend, backend.write(&key(), another, create)).await;
    created.unwrap();
    assert!(files <= each + 2, "create with limits opened {files} files");
    let (removed, files) = opened(&backend, backend.remove_all(&mine, Removal::Revoked)).await;
    assert_eq!(removed.unwrap(), each + 1);
    assert!(files <= 2 * (each + 1), "remove_all opened {files} files");
    let (found, files) = opened(&backend, backend.count(&mine)).await;
    assert_eq!((found.unwrap(), files), (0, 0), "nothing is left in the index");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn sweep_in_batches_goes_on_where_it_stopped() {
    let clock = ManualClock::new();
    let backend = place::backend(clock.clock(), Durability::None).await;
    let soon = clock.now() + std::time::Duration::from_secs(1);
    for number in 0..400 {
        let end = (number % 2 == 0).then_some(soon);
        let record = Record::new("{}", clock.now()).with_expires_at(end);
        backend.write(&key(), record, Write::create()).await.unwrap();
    }
    clock.advance(std::time::Duration::from_secs(1));
    let (swept, files) = opened(&backend, async {
        let mut swept = 0;
        for _ in 0..20 {
            swept += backend.sweep(10).await.unwrap();
        }
        swept
    })
    .await;
    assert_eq!(swept, 200);
    // Each header once, and those of the expired again under the lock.
    assert!(files < 700, "{files} files opened for 400 sessions in 20 batches");
    assert_eq!(backend.sweep(10).await.unwrap(), 0);
}

/// What a killed process left in the index points to nothing, and is cleared away by whoever looks.
#[tokio::test]
async fn index_with_entries_of_nothing_and_of_others_cleared() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    let (mine, other) = (key(), key());
    let record = Record::new("{}", backend.clock().now());
    for (at, number) in [(&mine, 1), (&other, 2)] {
        backend.write(at, record.clone().with_owner(Some(owner(number))), Write::create()).await.unwrap();
    }
    let entries = |number: usize| {
        let mut found = Vec::new();
        let mut folders = vec![folder.join("scopes/none/owners")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        assert_eq!(found.len(), number, "entries in the index");
        found
    };
    let [a, b] = entries(2).try_into().unwrap();
    // Each owner gets the other one's entry, and one of nothing.
    for (of, other) in [(&a, &b), (&b, &a)] {
        std::fs::write(of.with_file_name(other.file_name().unwrap()), "").unwrap();
        std::fs::write(of.with_file_name("ab".repeat(32)), "").unwrap();
    }
    entries(6);
    for number in [1, 2] {
        let filter = Filter::unscoped().with_owner(owner(number));
        assert_eq!(backend.scan(&filter, None, 9).await.unwrap().entries.len(), 1);
        assert_eq!(backend.count(&filter).await.unwrap(), 1);
    }
    assert_eq!(entries(2), [a, b]);
}

#[tokio::test]
async fn cursor_of_something_else_invalid_key() {
    let backend = place::backend(ManualClock::new().clock(), Durability::None).await;
    let cursor = cloakroom_core::Cursor::new(*b"elsewhere");
    let error = backend.scan(&Filter::everywhere(), Some(cursor), 9).await.unwrap_err();
    assert_eq!(error.kind(), cloakroom_core::ErrorKind::InvalidKey);
}

#[tokio::test]
async fn scan_of_many_scopes_in_small_pages_complete() {
    let backend = place::backend(ManualClock::new().clock(), Durability::None).await;
    let record = Record::new("{}", backend.clock().now());
    for number in 0..60 {
        let at = key();
        let at = match number % 4 {
            0 => at,
            scope => at.scoped(&Scope::parse(&format!("tenant:{scope}:")).unwrap()),
        };
        backend.write(&at, record.clone(), Write::create()).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = backend.scan(&Filter::everywhere(), after, 7).await.unwrap();
        seen.extend(page.entries.into_iter().map(|entry| (entry.id, entry.scope)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((all, seen.len()), (60, 60));
}
