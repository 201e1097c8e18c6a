//! Replicated stores beside the store alone, in one run.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_backend_database::DatabaseSessionBackend;
use cloakroom_bench::run::{concurrent, one_thread, sequential, two_workers};
use cloakroom_bench::{Bar, Cell, Measure, Report, Role};
use cloakroom_core::{
    Capability, Clock, Cursor, Filter, InMemorySessionBackend, Page, Record, Removal, Result, Rotate,
    SessionBackend, SessionKey, Touch, Write,
};
use cloakroom_layer_replication::ReplicatedSessionBackend;
use cloakroom_layer_replication::ReplicationStrategy::{AsyncReplication, SyncReplication};
use tokio::runtime::Runtime;

const SESSIONS: usize = 64;
const TASKS: u64 = 16;

/// A store that many milliseconds away.
#[derive(Clone, Debug)]
struct Distant(InMemorySessionBackend, Duration);

impl Distant {
    fn new(millis: u64) -> Self {
        Self(InMemorySessionBackend::new(), Duration::from_millis(millis))
    }

    async fn travel(&self) {
        tokio::time::sleep(self.1).await; // tidy-allow: the distance of a store
    }
}

impl SessionBackend for Distant {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    fn clock(&self) -> &Clock {
        self.0.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.travel().await;
        self.0.read(key).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.travel().await;
        self.0.write(key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.travel().await;
        self.0.rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.travel().await;
        self.0.touch(key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.travel().await;
        self.0.remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.travel().await;
        self.0.scan(filter, after, limit).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.travel().await;
        self.0.count(filter).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.travel().await;
        self.0.remove_all(filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.travel().await;
        self.0.sweep(limit).await
    }
}

async fn stock<B: SessionBackend>(backend: &B) -> Arc<Vec<SessionKey>> {
    let mut keys = Vec::new();
    for _ in 0..SESSIONS {
        let key = SessionKey::generate().expect("a key");
        let record = Record::new(vec![b'x'; 460], backend.clock().now());
        backend.write(&key, record, Write::create()).await.expect("a session");
        keys.push(key);
    }
    Arc::new(keys)
}

/// A session of the task's own is read and saved.
async fn save<B: SessionBackend>(backend: B, keys: Arc<Vec<SessionKey>>, task: usize) {
    let key = &keys[task % SESSIONS];
    let there = backend.read(key).await.expect("a read").expect("a session");
    let now = backend.clock().now();
    let (version, expected) = (there.version.next(now), there.version);
    backend.write(key, there.with_version(version), Write::update(expected)).await.expect("a write");
}

fn saves<B: SessionBackend + Clone>(
    rt: &Runtime,
    backend: &B,
    keys: &Arc<Vec<SessionKey>>,
    ops: u64,
) -> Measure {
    let (backend, keys) = (backend.clone(), keys.clone());
    concurrent(rt, TASKS, ops, move |task, _| save(backend.clone(), keys.clone(), task))
}

fn reads(report: &mut Report) {
    let rt = &one_thread();
    let alone = InMemorySessionBackend::new();
    let replicated =
        ReplicatedSessionBackend::new(alone.clone(), InMemorySessionBackend::new(), SyncReplication);
    let keys = &rt.block_on(stock(&replicated));
    let read = |index: usize| keys[index % SESSIONS].clone();
    let cell = Cell::new("read in memory")
        .add("replicated", Role::Ours, |ops| {
            sequential(rt, ops, |index| {
                let (key, backend) = (read(index), &replicated);
                async move { drop(std::hint::black_box(backend.read(&key).await)) }
            })
        })
        .add("alone", Role::Peer, |ops| {
            sequential(rt, ops, |index| {
                let (key, backend) = (read(index), &alone);
                async move { drop(std::hint::black_box(backend.read(&key).await)) }
            })
        });
    let outcomes = cell.run();
    report.note(&format!(
        "a read costs {:.0} ns and {:.2} allocations more (bars: 100 and 0)",
        outcomes[0].best() - outcomes[1].best(),
        outcomes[0].allocations - outcomes[1].allocations
    ));
    report.compare("read in memory", &outcomes, Bar::None);
}

fn asynchronous(report: &mut Report) {
    let rt = &two_workers();
    let folder = std::env::temp_dir().join(format!("cloakroom-bench-replication-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let open = |name: &str| {
        let url = format!("sqlite:{}", folder.join(name).display());
        rt.block_on(async {
            let backend = DatabaseSessionBackend::connect(&url).await.expect("a database");
            backend.migrate().await.expect("tables");
            backend
        })
    };
    let (alone, primary) = (open("alone.db"), open("primary.db"));
    let replicated = ReplicatedSessionBackend::new(primary, Distant::new(1), AsyncReplication);
    let worker = replicated.worker();
    let _task = rt.spawn(worker.run());
    let keys = [rt.block_on(stock(&replicated)), rt.block_on(stock(&alone))];
    let mut cell = Cell::new("save, async, SQLite and a store 1 ms away");
    cell.round = Duration::from_millis(100);
    let cell = cell.add("replicated", Role::Ours, |ops| saves(rt, &replicated, &keys[0], ops)).add(
        "the primary alone",
        Role::Peer,
        |ops| saves(rt, &alone, &keys[1], ops),
    );
    report.compare("save, async, SQLite and a store 1 ms away", &cell.run(), Bar::AtMost(1.1));
    drop(std::fs::remove_dir_all(&folder));
}

fn synchronous(report: &mut Report) {
    let rt = &two_workers();
    let (near, far) = (Distant::new(3), Distant::new(5));
    let replicated = ReplicatedSessionBackend::new(near.clone(), far, SyncReplication);
    let slower = Distant::new(5);
    let name = "write, sync, stores 3 ms and 5 ms away";
    let mut cell = Cell::new(name);
    cell.round = Duration::from_millis(200);
    // New sessions: nothing has to be read for them.
    let cell = cell.add("replicated", Role::Ours, |ops| sequential(rt, ops, |_| create(&replicated))).add(
        "the slower alone",
        Role::Peer,
        |ops| sequential(rt, ops, |_| create(&slower)),
    );
    report.compare(name, &cell.run(), Bar::AtMost(1.15));
}

async fn create<B: SessionBackend>(backend: &B) {
    let key = SessionKey::generate().expect("a key");
    let record = Record::new(vec![b'x'; 460], backend.clock().now());
    backend.write(&key, record, Write::create()).await.expect("a write");
}

fn main() {
    let mut report = Report::new("replication");
    reads(&mut report);
    asynchronous(&mut report);
    synchronous(&mut report);
    report.finish();
}
