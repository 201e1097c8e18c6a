use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cloakroom_core::{ErrorKind, Filter, Record, Removal, Rotate, SessionBackend, SessionKey, Write};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::race::{rounds, together};
use crate::subject::{SECOND, Subject, fresh_key, owner};

/// The sessions of one owner while they are revoked, each with a number of its own as payload.
#[derive(Clone, Default)]
struct Ledger {
    began: Arc<AtomicBool>,
    /// Numbers of the sessions whose creation had finished before the revocation began.
    before: Arc<Mutex<BTreeSet<String>>>,
}

impl Ledger {
    /// Called when a session exists: notes it unless the revocation may have begun.
    fn note(&self, number: &str) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.began.load(Ordering::SeqCst) {
            before.insert(number.to_owned());
        }
    }

    fn begin(&self) {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        self.began.store(true, Ordering::SeqCst);
        drop(before);
    }

    fn contains(&self, number: &[u8]) -> bool {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        std::str::from_utf8(number).is_ok_and(|number| before.contains(number))
    }

    fn len(&self) -> u64 {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

/// Rotates a session again and again until it is gone.
fn rotating(subject: &Subject, mut key: SessionKey, mut record: Record) -> BoxFuture<'static, ()> {
    let subject = subject.clone();
    async move {
        for _ in 0..30 {
            let new = fresh_key();
            let next = subject.revise(&record, record.payload.clone());
            let trail = Record::moved(new.id(), subject.now(), subject.now() + SECOND * 60);
            let how = Rotate::new(record.version).with_trail(trail);
            match subject.backend().rotate(&key, &new, next.clone(), how).await {
                Ok(_) => (key, record) = (new, next),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Gone, "the rotation of a revoked session");
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    }
    .boxed()
}

fn creating(subject: &Subject, ledger: &Ledger, creator: usize) -> BoxFuture<'static, ()> {
    let (subject, ledger) = (subject.clone(), ledger.clone());
    async move {
        for turn in 0..10 {
            let number = format!("{creator}.{turn}");
            let record = subject.record(number.clone()).with_owner(Some(owner("user:1")));
            let key = subject.create(&record).await;
            ledger.note(&number);
            // An update must not carry a session over the revocation either.
            let next = subject.revise(&record, number);
            match subject.backend().write(&key, next, Write::update(record.version)).await {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::Gone, "the save of a revoked session"),
            }
            tokio::task::yield_now().await;
        }
    }
    .boxed()
}

async fn revoke(subject: &Subject, keep: bool) {
    for _ in rounds(50) {
        let ledger = Ledger::default();
        let mut filter = Filter::unscoped().with_owner(owner("user:1"));
        let kept = subject.record("kept").with_owner(Some(owner("user:1")));
        let kept_key = subject.create(&kept).await;
        if keep {
            filter = filter.with_except(kept_key.id());
        } else {
            ledger.note("kept");
        }
        let mut tasks = Vec::new();
        for number in 0..8 {
            let record = subject.record(format!("{number}")).with_owner(Some(owner("user:1")));
            let key = subject.create(&record).await;
            ledger.note(&format!("{number}"));
            tasks.push(rotating(subject, key, record));
        }
        for creator in 100..103 {
            tasks.push(creating(subject, &ledger, creator));
        }
        let (backend, mine, book) = (subject.backend().clone(), filter.clone(), ledger.clone());
        tasks.push(
            async move {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                book.begin();
                let ended = backend.remove_all(&mine, Removal::Revoked).await.expect("remove_all");
                let existed = book.len();
                assert!(ended >= existed, "{ended} ended, but {existed} existed");
            }
            .boxed(),
        );
        together(tasks).await;
        for entry in subject.scan(&filter.clone().with_payload(), 100).await {
            let number = entry.record.payload;
            assert!(!ledger.contains(&number), "session {number:?} existed when all were revoked, and lives");
        }
        let spared = subject.alive(&kept_key).await;
        assert_eq!(spared, keep.then_some(kept), "the session of the device that asks");
        subject.remove_all(&Filter::everywhere()).await;
    }
}

/// A session that existed when "revoke all" began does not survive it, not by being rotated meanwhile either; what
/// survives was created afterwards (ST-18).
pub async fn race_revoke_all_against_create_and_rotate_none_escapes(subject: &Subject) {
    revoke(subject, false).await;
}

/// The same for "revoke the others": one is spared, none escapes (ST-19).
pub async fn race_revoke_others_against_create_and_rotate_none_escapes(subject: &Subject) {
    revoke(subject, true).await;
}

/// A removal of a whole scope, without an owner, is not outrun by rotations either.
pub async fn race_remove_scope_against_rotate_none_escapes(subject: &Subject) {
    for _ in rounds(30) {
        let mut tasks = Vec::new();
        for number in 0..8 {
            let record = subject.record(format!("{number}"));
            let key = subject.create(&record).await;
            tasks.push(rotating(subject, key, record));
        }
        let backend = subject.backend().clone();
        tasks.push(
            async move {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                let ended = backend.remove_all(&Filter::unscoped(), Removal::Revoked).await;
                assert_eq!(ended.expect("remove_all"), 8, "each session is ended once");
            }
            .boxed(),
        );
        together(tasks).await;
        assert_eq!(subject.count(&Filter::unscoped()).await, 0, "a session escaped by being rotated");
    }
}
