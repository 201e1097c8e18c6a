use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::*;

use crate::fault::{Fault, When};

async fn stored(backend: &InMemorySessionBackend) -> SessionKey {
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.set("n", 0).unwrap();
    session.save().await.unwrap();
    session.key().unwrap()
}

async fn open<B: SessionBackend + Clone>(backend: &B, key: &SessionKey) -> Session<B> {
    let session = Session::with_key(backend.clone(), key.clone());
    session.load().await.unwrap();
    session
}

async fn value(backend: &InMemorySessionBackend, key: &SessionKey, name: &str) -> Option<u64> {
    open(backend, key).await.get(name).unwrap()
}

#[tokio::test]
async fn calls_are_as_few_as_promised() {
    let backend = Fault::new(&InMemorySessionBackend::new());
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.finish().await.unwrap();
    assert_eq!(backend.calls(), 1, "new");
    let key = session.key().unwrap();

    let untouched = Session::with_key(backend.clone(), key.clone());
    untouched.finish().await.unwrap();
    assert_eq!(backend.calls(), 0, "untouched");

    let read = open(&backend, &key).await;
    read.get::<u8>("a").unwrap();
    read.finish().await.unwrap();
    assert_eq!(backend.calls(), 1, "read");

    let write = open(&backend, &key).await;
    write.set("a", 2).unwrap();
    write.finish().await.unwrap();
    write.finish().await.unwrap();
    assert_eq!(backend.calls(), 2, "read and write");

    let logout = Session::with_key(backend.clone(), key);
    logout.flush().await.unwrap();
    logout.finish().await.unwrap();
    assert_eq!(backend.calls(), 1, "logout of a session that was not loaded");
}

#[tokio::test]
async fn touch_is_due_after_a_tenth_of_the_idle_time() {
    let manual = ManualClock::new();
    let backend = Fault::new(&InMemorySessionBackend::with_clock(manual.clock()));
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let (key, end) = (session.key().unwrap(), session.expiry_date().unwrap());
    for (wait, calls) in [(359, 1), (1, 2), (359, 1)] {
        manual.advance(Duration::from_secs(wait));
        backend.calls();
        let read = open(&backend, &key).await;
        read.get::<u8>("a").unwrap();
        read.finish().await.unwrap();
        assert_eq!(backend.calls(), calls, "after {wait} s more");
    }
    assert_eq!(open(&backend, &key).await.expiry_date().unwrap(), end + Duration::from_secs(360));
}

#[tokio::test]
async fn failed_touch_does_not_spoil_a_request_that_only_read() {
    let manual = ManualClock::new();
    let memory = InMemorySessionBackend::with_clock(manual.clock());
    let backend = Fault::new(&memory);
    let key = stored(&memory).await;
    manual.advance(Duration::from_secs(1800));
    let session = open(&backend, &key).await;
    session.get::<u8>("a").unwrap();
    backend.fail_next(When::Before, ErrorKind::Unavailable);
    session.finish().await.unwrap();
    manual.advance(Duration::from_secs(1799));
    assert_eq!(value(&memory, &key, "a").await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn parallel_requests_merge_and_count() {
    let backend = InMemorySessionBackend::new();
    let key = stored(&backend).await;
    let (one, two) = (open(&backend, &key).await, open(&backend, &key).await);
    for (session, field) in [(&one, "one"), (&two, "two")] {
        session.set(field, field).unwrap();
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    }
    two.delete("a");
    one.save().await.unwrap();
    two.save().await.unwrap();
    let merged = open(&backend, &key).await;
    assert_eq!(merged.get::<String>("one").unwrap().as_deref(), Some("one"));
    assert_eq!(merged.get::<String>("two").unwrap().as_deref(), Some("two"));
    assert_eq!(merged.get::<u64>("n").unwrap(), Some(2));
    assert!(!merged.contains_key("a"));
}

#[tokio::test(start_paused = true)]
async fn updates_replay_in_the_order_of_the_log() {
    let backend = InMemorySessionBackend::new();
    let key = stored(&backend).await;
    let (one, two) = (open(&backend, &key).await, open(&backend, &key).await);
    two.update("n", |n: Option<u64>| n.unwrap_or(0) * 10).unwrap();
    two.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    one.set("n", 5).unwrap();
    one.save().await.unwrap();
    two.save().await.unwrap();
    assert_eq!(value(&backend, &key, "n").await, Some(51));
}

#[tokio::test]
async fn saved_changes_never_count_twice() {
    let backend = InMemorySessionBackend::new();
    let key = stored(&backend).await;
    let session = open(&backend, &key).await;
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    session.save().await.unwrap();
    session.save().await.unwrap();
    session.mark_modified();
    session.save().await.unwrap();
    assert_eq!(value(&backend, &key, "n").await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn clear_removes_what_was_saved_before_it_and_keeps_what_follows() {
    let backend = InMemorySessionBackend::new();
    let key = stored(&backend).await;
    let (one, two) = (open(&backend, &key).await, open(&backend, &key).await);
    two.clear();
    two.set("after", 1).unwrap();
    one.set("before", 1).unwrap();
    one.save().await.unwrap();
    two.save().await.unwrap();
    assert_eq!(open(&backend, &key).await.keys(), ["after"]);
}

// CV-14, DJ-053
#[tokio::test]
async fn save_after_the_end_is_refused_aloud() {
    let backend = InMemorySessionBackend::new();
    let key = stored(&backend).await;
    let (slow, logout) = (open(&backend, &key).await, open(&backend, &key).await);
    logout.flush().await.unwrap();
    slow.set("a", 2).unwrap();
    assert_eq!(slow.save().await.unwrap_err().kind(), ErrorKind::Gone);
    slow.touch().await.unwrap();
    assert_eq!(slow.cycle_key().await.unwrap_err().kind(), ErrorKind::Gone);
    assert!(backend.read(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn second_rotation_of_one_session_is_refused() {
    let backend = InMemorySessionBackend::new();
    let key = stored(&backend).await;
    let (one, two) = (open(&backend, &key).await, open(&backend, &key).await);
    one.cycle_key().await.unwrap();
    assert_eq!(two.cycle_key().await.unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 1);
}

/// The save took effect, but the answer was lost: the next save finds that out and does not count twice.
#[tokio::test]
async fn lost_answer_is_settled_by_the_version() {
    for when in [When::After, When::Before] {
        let memory = InMemorySessionBackend::new();
        let backend = Fault::new(&memory);
        let key = stored(&memory).await;
        let session = open(&backend, &key).await;
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
        backend.fail_next(when, ErrorKind::Unavailable);
        assert_eq!(session.save().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(session.is_modified());
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 10).unwrap();
        session.save().await.unwrap();
        assert_eq!(value(&memory, &key, "n").await, Some(11), "{when:?}");
    }
}

/// Two saves are cut off; the first arrives after the second was given up. Each change counts once.
#[tokio::test]
async fn late_arrival_of_the_first_of_two_cut_off_saves_loses_nothing() {
    let memory = InMemorySessionBackend::new();
    let backend = Fault::new(&memory);
    let key = stored(&memory).await;
    let session = open(&backend, &key).await;
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    backend.fail_next(When::Late, ErrorKind::Unavailable);
    session.save().await.unwrap_err();
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 10).unwrap();
    backend.fail_next(When::Before, ErrorKind::Unavailable);
    session.save().await.unwrap_err();
    backend.release().await;
    assert_eq!(value(&memory, &key, "n").await, Some(1));
    session.save().await.unwrap();
    assert_eq!(value(&memory, &key, "n").await, Some(11));
}

#[tokio::test]
async fn lost_answer_of_a_create_or_rotate_is_settled_too() {
    for when in [When::After, When::Before] {
        let memory = InMemorySessionBackend::new();
        let backend = Fault::new(&memory);
        let session = Session::new(backend.clone());
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
        backend.fail_next(when, ErrorKind::Unavailable);
        session.save().await.unwrap_err();
        session.save().await.unwrap();
        assert_eq!(memory.count(&Filter::everywhere()).await.unwrap(), 1, "create, {when:?}");

        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
        backend.fail_next(when, ErrorKind::Unavailable);
        session.cycle_key().await.unwrap_err();
        session.save().await.unwrap();
        assert_eq!(memory.count(&Filter::everywhere()).await.unwrap(), 1, "rotate, {when:?}");
        assert_eq!(value(&memory, &session.key().unwrap(), "n").await, Some(2));
    }
}

#[tokio::test]
async fn cancelled_save_is_settled_by_the_next() {
    let memory = InMemorySessionBackend::new();
    let backend = Fault::new(&memory);
    let key = stored(&memory).await;
    let session = open(&backend, &key).await;
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    backend.hang_after(true);
    let cut = tokio::time::timeout(Duration::ZERO, session.save()).await;
    assert!(cut.is_err());
    backend.hang_after(false);
    session.set("later", 1).unwrap();
    session.save().await.unwrap();
    assert_eq!(value(&memory, &key, "n").await, Some(1));
    assert_eq!(value(&memory, &key, "later").await, Some(1));
}

#[tokio::test]
async fn cut_off_update_that_others_wrote_over_is_refused_aloud() {
    let memory = InMemorySessionBackend::new();
    let backend = Fault::new(&memory);
    let key = stored(&memory).await;
    let session = open(&backend, &key).await;
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    backend.fail_next(When::After, ErrorKind::Unavailable);
    session.save().await.unwrap_err();
    let other = open(&memory, &key).await;
    other.set("other", 1).unwrap();
    other.save().await.unwrap();
    for _ in 0..3 {
        let refused = session.save().await.unwrap_err();
        assert!(refused.kind() == ErrorKind::Unexpected && !refused.is_transient());
    }
    assert_eq!(value(&memory, &key, "n").await, Some(1), "not counted twice");
}

// CV-15
#[tokio::test]
async fn collision_on_create_takes_another_key() {
    let memory = InMemorySessionBackend::new();
    let taken = stored(&memory).await;
    let backend = Fault::new(&memory);
    let session = Session::new(backend.clone());
    session.set("b", 1).unwrap();
    backend.fail_next(When::Before, ErrorKind::AlreadyExists);
    session.save().await.unwrap();
    assert_ne!(session.key().unwrap(), taken);
    assert_eq!(value(&memory, &taken, "a").await, Some(1));
}

/// Conflicts are retried for the budget, and never fewer than 16 times; then they are an error.
#[tokio::test(start_paused = true)]
async fn endless_conflicts_end_with_an_error() {
    #[derive(Clone, Debug)]
    struct Busy(InMemorySessionBackend);
    impl SessionBackend for Busy {
        fn capability(&self) -> Capability {
            self.0.capability()
        }
        fn clock(&self) -> &Clock {
            self.0.clock()
        }
        async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
            self.0.read(key).await
        }
        async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
            match how.mode {
                Mode::Update(_) => Err(SessionError::new(ErrorKind::Conflict, "write")),
                _ => self.0.write(key, record, how).await,
            }
        }
        async fn rotate(&self, o: &SessionKey, n: &SessionKey, r: Record, how: Rotate) -> Result<SessionKey> {
            self.0.rotate(o, n, r, how).await
        }
        async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
            self.0.touch(key, how).await
        }
        async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
            self.0.remove(key, reason).await
        }
        async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
            self.0.scan(filter, after, limit).await
        }
        async fn count(&self, filter: &Filter) -> Result<u64> {
            self.0.count(filter).await
        }
        async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
            self.0.remove_all(filter, reason).await
        }
        async fn sweep(&self, limit: usize) -> Result<u64> {
            self.0.sweep(limit).await
        }
    }
    let memory = InMemorySessionBackend::new();
    let key = stored(&memory).await;
    let session = open(&Busy(memory.clone()), &key).await;
    session.set("a", 2).unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(session.save().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(started.elapsed() >= Duration::from_secs(5) && started.elapsed() < Duration::from_secs(6));
    assert!(session.is_modified(), "the changes stay for another attempt");

    let quick = Arc::new(SessionConfig::default().with_retry_budget(Duration::ZERO));
    let session = Session::with_config(Busy(memory.clone()), Some(key), quick);
    session.set("a", 2).unwrap();
    let reads = memory.statistics().reads;
    session.save().await.unwrap_err();
    assert_eq!(memory.statistics().reads - reads, 16, "one load, and one before each of 15 more attempts");
}

/// 64 tasks, each with a key of its own and one common counter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_parallel_requests_lose_nothing() {
    let backend = InMemorySessionBackend::new();
    let key = stored(&backend).await;
    for round in 0..5_u64 {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..64 {
            let (backend, key) = (backend.clone(), key.clone());
            tasks.spawn(async move {
                let session = open(&backend, &key).await;
                session.set(&format!("task{task}"), round).unwrap();
                session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
                session.save().await.unwrap();
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
    let session = open(&backend, &key).await;
    assert_eq!(session.get::<u64>("n").unwrap(), Some(5 * 64));
    assert!((0..64).all(|task| session.get::<u64>(&format!("task{task}")).unwrap() == Some(4)));
}

/// Clones are one session: changes made while a save is under way go with the next.
#[tokio::test]
async fn change_during_a_save_is_not_lost() {
    let memory = InMemorySessionBackend::new();
    let backend = Fault::new(&memory);
    let key = stored(&memory).await;
    let session = open(&backend, &key).await;
    session.set("a", 2).unwrap();
    backend.hang_after(true);
    let mut saving = Box::pin(session.save());
    assert!(tokio::time::timeout(Duration::ZERO, &mut saving).await.is_err());
    session.set("a", 3).unwrap();
    drop(saving);
    backend.hang_after(false);
    session.clone().save().await.unwrap();
    assert_eq!(value(&memory, &key, "a").await, Some(3));
}

#[tokio::test]
async fn manager_works_without_http() {
    let manager = SessionManager::new(InMemorySessionBackend::new());
    let session = manager.create(|session| session.set("a", 1)).await.unwrap();
    let key = session.key().unwrap();
    manager.touch(&key).await.unwrap();
    manager.update(&key, |session| session.set("a", 2)).await.unwrap();
    let new = manager.regenerate(&key).await.unwrap();
    assert!(manager.load(&key).await.unwrap().is_none());
    assert_eq!(manager.load(&new).await.unwrap().unwrap().get("a").unwrap(), Some(2));
    assert_eq!(manager.update(&key, |_| Ok(())).await.unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(manager.count().await.unwrap(), 1);
    assert!(manager.delete(&key).await.unwrap(), "a rotated key still ends the session");
    assert_eq!(manager.clear().await.unwrap(), 0);
}
