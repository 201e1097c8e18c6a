//! A database that wraps another: it counts statements, and can lose the answer to one that took effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use cloakroom_backend_database::{
    DatabaseError, DatabaseSessionBackend, DatabaseTransaction, Dialect, Failure, Row, SessionDatabase,
    Statement, Value,
};
use cloakroom_core::{
    ErrorKind, Filter, Limits, ManualClock, Owner, Record, Removal, Rotate, SessionBackend, SessionKey,
    Touch, Write,
};

use crate::place;

#[derive(Debug, Default)]
struct Watch {
    /// Everything that takes a round trip: statements, begin, commit, rollback.
    trips: AtomicU64,
    lose_next_answer: AtomicBool,
}

impl Watch {
    fn note<T>(&self, answer: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
        self.trips.fetch_add(1, Ordering::SeqCst);
        if self.lose_next_answer.swap(false, Ordering::SeqCst) {
            return Err(DatabaseError::new(Failure::Lost, "on purpose"));
        }
        answer
    }

    fn taken(&self) -> u64 {
        self.trips.swap(0, Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Watched(Arc<dyn SessionDatabase>, Arc<Watch>);

#[async_trait]
impl SessionDatabase for Watched {
    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    async fn execute(&self, statement: &Statement, values: Vec<Value>) -> Result<u64, DatabaseError> {
        self.1.note(self.0.execute(statement, values).await)
    }

    async fn fetch(&self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        self.1.note(self.0.fetch(statement, values).await)
    }

    async fn begin(&self) -> Result<Box<dyn DatabaseTransaction>, DatabaseError> {
        let inner = self.1.note(self.0.begin().await)?;
        Ok(Box::new(WatchedTransaction(inner, self.1.clone())))
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

struct WatchedTransaction(Box<dyn DatabaseTransaction>, Arc<Watch>);

#[async_trait]
impl DatabaseTransaction for WatchedTransaction {
    async fn execute(&mut self, statement: &Statement, values: Vec<Value>) -> Result<u64, DatabaseError> {
        self.1.note(self.0.execute(statement, values).await)
    }

    async fn fetch(&mut self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        self.1.note(self.0.fetch(statement, values).await)
    }

    async fn commit(self: Box<Self>) -> Result<(), DatabaseError> {
        self.1.note(self.0.commit().await)
    }

    async fn rollback(self: Box<Self>) -> Result<(), DatabaseError> {
        self.1.note(self.0.rollback().await)
    }
}

async fn watched(url: &str, manual: &ManualClock) -> (DatabaseSessionBackend, Arc<Watch>) {
    let table = place::table();
    let inner = DatabaseSessionBackend::builder(url).with_table(&table).connect().await.expect("a database");
    let watch = Arc::new(Watch::default());
    let builder = DatabaseSessionBackend::from_database(Watched(inner.database().clone(), watch.clone()))
        .with_table(table)
        .with_clock(manual.clock());
    let backend = place::ready(builder).await;
    watch.taken();
    (backend, watch)
}

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

/// The table in the README, for each database.
#[tokio::test]
async fn operations_ordinary_case_take_the_documented_statements() {
    for (name, url) in place::urls().await {
        let manual = ManualClock::new();
        let (backend, watch) = watched(&url, &manual).await;
        let owner = Owner::parse("user:1").unwrap();
        let now = manual.now();
        let first = Record::new("{}", now).with_owner(Some(owner.clone()));
        let next = |record: &Record| record.clone().with_version(record.version.next(now));
        let at = key();

        backend.migrate().await.unwrap();
        assert_eq!(watch.taken(), 1, "{name}: migrate");
        backend.write(&at, first.clone(), Write::create()).await.unwrap();
        assert_eq!(watch.taken(), 1, "{name}: create");
        backend.read(&at).await.unwrap().unwrap();
        assert_eq!(watch.taken(), 1, "{name}: read");
        let second = next(&first);
        backend.write(&at, second.clone(), Write::update(first.version)).await.unwrap();
        assert_eq!(watch.taken(), 1, "{name}: update");
        let third = next(&second);
        let limits = Limits::none().with_per_owner(5);
        let how = Write::update(second.version).with_limits(limits);
        backend.write(&at, third.clone(), how).await.unwrap();
        assert_eq!(watch.taken(), 1, "{name}: update with limits, same owner");
        backend.write(&at, third.clone(), Write::overwrite()).await.unwrap();
        assert_eq!(watch.taken(), 1, "{name}: overwrite");
        backend.write(&key(), third.clone(), Write::newer()).await.unwrap();
        assert_eq!(watch.taken(), 1, "{name}: newer");
        let touch = Touch::new(third.version, now);
        backend.touch(&at, touch).await.unwrap().unwrap();
        assert_eq!(watch.taken(), 1, "{name}: touch");

        let fourth = next(&third);
        let to = key();
        backend.rotate(&at, &to, fourth.clone(), Rotate::new(third.version)).await.unwrap();
        assert_eq!(watch.taken(), 1, "{name}: rotate");
        let trail = Record::moved(to.id(), now, now + std::time::Duration::from_secs(60));
        let how = Rotate::new(fourth.version).with_trail(trail.clone());
        let (at, to) = (to, key());
        backend.rotate(&at, &to, next(&fourth), how).await.unwrap();
        let expected = if name == "PostgreSQL" { 1 } else { 4 };
        assert_eq!(watch.taken(), expected, "{name}: rotate with a trail");
        assert_eq!(backend.read(&at).await.unwrap().unwrap().state, cloakroom_core::State::Moved);
        watch.taken();

        let filter = Filter::unscoped().with_owner(owner);
        assert_eq!(backend.count(&filter).await.unwrap(), 2);
        assert_eq!(watch.taken(), 1, "{name}: count");
        assert_eq!(backend.scan(&filter, None, 10).await.unwrap().entries.len(), 2);
        assert_eq!(watch.taken(), 1, "{name}: scan");
        assert!(backend.remove(&to, Removal::Flushed).await.unwrap());
        assert_eq!(watch.taken(), 1, "{name}: remove");
        assert_eq!(backend.remove_all(&filter, Removal::Revoked).await.unwrap(), 1);
        let expected = if name == "SQLite" { 1 } else { 2 };
        assert_eq!(watch.taken(), expected, "{name}: remove_all");
        backend.sweep(100).await.unwrap();
        assert_eq!(watch.taken(), 1, "{name}: sweep");

        let how = Write::create().with_limits(limits.with_per_scope(1_000));
        backend.write(&key(), first.clone(), how).await.unwrap();
        let expected = if name == "SQLite" { 6 } else { 8 };
        assert_eq!(watch.taken(), expected, "{name}: create with both limits");
    }
}

/// The connection breaks after the statement took effect and before its answer arrives.
#[tokio::test]
async fn write_answer_lost_settled_by_the_version() {
    for (name, url) in place::urls().await {
        let manual = ManualClock::new();
        let (backend, watch) = watched(&url, &manual).await;
        let lose = || watch.lose_next_answer.store(true, Ordering::SeqCst);
        let now = manual.now();
        let next = |record: &Record| record.clone().with_version(record.version.next(now));
        let first = Record::new("first", now);
        let at = key();

        lose();
        backend.write(&at, first.clone(), Write::create()).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let second = next(&first);
        lose();
        backend.write(&at, second.clone(), Write::update(first.version)).await.unwrap();
        lose();
        backend.write(&at, second.clone(), Write::newer()).await.unwrap();
        lose();
        assert_eq!(backend.read(&at).await.unwrap().unwrap(), second, "{name}");
        lose();
        backend.touch(&at, Touch::new(second.version, now)).await.unwrap().unwrap();

        let (third, to) = (next(&second), key());
        lose();
        let trail = Record::moved(to.id(), now, now + std::time::Duration::from_secs(60));
        let how = Rotate::new(second.version).with_trail(trail);
        backend.rotate(&at, &to, third.clone(), how).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(backend.read(&to).await.unwrap().unwrap(), third, "{name}");

        // Somebody else's version does not tell whether ours came before it.
        lose();
        let stale = backend.write(&to, next(&third), Write::update(first.version)).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Unavailable, "{name}");
        lose();
        backend.remove(&to, Removal::Flushed).await.unwrap();
        assert_eq!(backend.read(&to).await.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn limits_200_creators_of_40_owners_exact() {
    for (name, url) in place::urls().await {
        let manual = ManualClock::new();
        let backend = place::backend(&url, manual.clock()).await;
        let owners: Vec<Owner> = (0..40).map(|n| Owner::parse(&format!("user:{n}")).unwrap()).collect();
        let limits = Limits::none().with_per_owner(2);
        let creates = (0..200).map(|n| {
            let record = Record::new("{}", manual.now()).with_owner(Some(owners[n % owners.len()].clone()));
            let (backend, at) = (backend.clone(), key());
            async move { backend.write(&at, record, Write::create().with_limits(limits)).await }
        });
        let done = futures_util::future::join_all(creates).await;
        let created = done.iter().filter(|done| done.is_ok()).count();
        let refused = done.iter().filter_map(|done| done.as_ref().err());
        assert_eq!(created, 80, "{name}");
        assert!(
            refused.into_iter().all(|error| error.kind() == ErrorKind::QuotaExceeded),
            "{name}: {done:?}"
        );
    }
}
