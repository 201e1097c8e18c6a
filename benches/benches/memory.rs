//! In-memory sessions without HTTP: load one field; load, change, save; make ten fields and save.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cloakroom_bench::data::{Large, Nested, Payload, Small, WANTED, json_size};
use cloakroom_bench::run::{Outcome, concurrent, one_thread, sequential, two_workers};
use cloakroom_bench::service;
use cloakroom_bench::store::{Cloakroom, Ruts, SESSIONS, Store, TowerSessions};
use cloakroom_bench::{Bar, Cell, Measure, Report, Role, alloc};
use tokio::runtime::Runtime;

const TASKS: u64 = 64;
/// New sessions go into an empty store that often, so that it does not grow without end.
const BATCH: u64 = 512;

async fn load<S: Store, P: Payload>(store: &S, index: usize) {
    let mut handle = store.open(index);
    black_box(S::get::<P::Wanted>(&mut handle, WANTED).await);
}

async fn change<S: Store, P: Payload>(store: &S, index: usize) {
    use cloakroom_bench::data::Sink;
    let mut handle = store.open(index);
    let mut value = S::get::<P::Wanted>(&mut handle, WANTED).await;
    P::change(&mut value);
    handle.put(WANTED, &value).await;
    S::save(&mut handle).await;
}

async fn create<S: Store, P: Payload>(store: &S, payload: &P) {
    let mut handle = store.fresh();
    payload.fill(&mut handle).await;
    S::save(&mut handle).await;
}

#[derive(Clone, Copy)]
enum Work {
    Load,
    Change,
    Create,
}

fn contend<'a, S: Store, P: Payload>(cell: Cell<'a>, rt: &'a Runtime, tasks: u64, work: Work) -> Cell<'a> {
    let payload = Arc::new(P::make());
    let store = rt.block_on(S::populate(&*payload));
    let round = move |ops: u64| {
        let store = store.clone();
        match (work, tasks) {
            (Work::Load, 1) => sequential(rt, ops, |index| load::<S, P>(&store, index)),
            (Work::Change, 1) => sequential(rt, ops, |index| change::<S, P>(&store, index)),
            (Work::Load, _) => concurrent(rt, tasks, ops, move |task, _| {
                let store = store.clone();
                async move { load::<S, P>(&store, task).await }
            }),
            (Work::Change, _) => concurrent(rt, tasks, ops, move |task, _| {
                let store = store.clone();
                async move { change::<S, P>(&store, task).await }
            }),
            (Work::Create, _) => {
                let mut sum = Measure { time: std::time::Duration::ZERO, allocations: 0 };
                for _ in 0..ops.div_ceil(BATCH) {
                    let (empty, payload) = (S::empty(), payload.clone());
                    let measure = if tasks == 1 {
                        sequential(rt, BATCH.min(ops), |_| create(&empty, &*payload))
                    } else {
                        concurrent(rt, tasks, BATCH.min(ops), move |_, _| {
                            let (empty, payload) = (empty.clone(), payload.clone());
                            async move { create(&empty, &*payload).await }
                        })
                    };
                    sum.time += measure.time;
                    sum.allocations += measure.allocations;
                }
                // The last batch is a full one too.
                let done = ops.div_ceil(BATCH) * BATCH.min(ops);
                Measure {
                    time: sum.time.mul_f64(ops as f64 / done as f64),
                    allocations: sum.allocations * ops / done,
                }
            }
        }
    };
    cell.add(S::NAME, S::ROLE, round)
}

/// What hands out its session in requests only runs as a bare service without a router.
fn inside<'a, P: Payload>(
    cell: Cell<'a>,
    rt: &'a Runtime,
    tasks: u64,
    work: Work,
    name: &str,
    make: impl Fn() -> service::Sessions + 'a,
) -> Cell<'a> {
    let service = make();
    let cookies = rt.block_on(service.sessions());
    let path = match work {
        Work::Load => "/read",
        Work::Change => "/increment",
        Work::Create => "/create",
    };
    let round = move |ops: u64| {
        let batch = if matches!(work, Work::Create) { BATCH.min(ops) } else { ops };
        let mut sum = Measure { time: std::time::Duration::ZERO, allocations: 0 };
        let batches = ops.div_ceil(batch);
        for _ in 0..batches {
            let service = if matches!(work, Work::Create) { make() } else { service.clone() };
            let cookies = cookies.clone();
            let send = move |index: usize| {
                let cookie = (path != "/create").then(|| cookies[index % SESSIONS].clone());
                let service = service.clone();
                async move { service.send(path, cookie.as_ref()).await }
            };
            let measure = match tasks {
                1 => sequential(rt, batch, send),
                _ => concurrent(rt, tasks, batch, move |task, _| send(task)),
            };
            sum.time += measure.time;
            sum.allocations += measure.allocations;
        }
        let done = batches * batch;
        Measure {
            time: sum.time.mul_f64(ops as f64 / done as f64),
            allocations: sum.allocations * ops / done,
        }
    };
    cell.add(name, Role::Peer, round)
}

fn cells<P: Payload>(report: &mut Report, bar: f64) {
    for tasks in [1, TASKS] {
        let rt = if tasks == 1 { one_thread() } else { two_workers() };
        for (name, work) in [
            ("load one field", Work::Load),
            ("load, change, save", Work::Change),
            ("new session, ten fields, save", Work::Create),
        ] {
            let name = format!("{name}, {}, concurrency {tasks}", P::NAME);
            if !report.wants(&name) {
                continue;
            }
            let cell = Cell::new(&name);
            let cell = contend::<Cloakroom, P>(cell, &rt, tasks, work);
            let cell = contend::<TowerSessions, P>(cell, &rt, tasks, work);
            let cell = contend::<Ruts, P>(cell, &rt, tasks, work);
            let cell = inside::<P>(cell, &rt, tasks, work, "ruts (in its layer)", || service::ruts::<P>());
            let axum = || service::axum_session::<P>(&rt);
            let cell = inside::<P>(cell, &rt, tasks, work, "axum_session (in its layer)", axum);
            report.compare(&name, &cell.run(), Bar::AtMost(bar));
        }
    }
}

/// What a store cannot be faster than: 64 maps behind locks.
type Bare = Arc<[Mutex<HashMap<[u8; 32], Arc<[u8]>>>; 64]>;

fn threads(count: usize, ops: u64, op: impl Fn(&Runtime, usize, u64) + Sync) -> Measure {
    let ready = std::sync::Barrier::new(count + 1);
    let each = ops / count as u64;
    let time = std::thread::scope(|scope| {
        let running: Vec<_> = (0..count)
            .map(|thread| {
                let (ready, op) = (&ready, &op);
                scope.spawn(move || {
                    let rt = one_thread();
                    ready.wait();
                    let start = Instant::now();
                    op(&rt, thread, each);
                    start.elapsed()
                })
            })
            .collect();
        ready.wait();
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).max()
    });
    Measure { time: time.unwrap_or_default(), allocations: 0 }
}

fn gain(report: &mut Report) {
    let name = "gain of two threads, load one field, 460 B";
    if !report.wants(name) {
        return;
    }
    let setup = one_thread();
    let bare: Bare = Arc::new(std::array::from_fn(|_| Mutex::default()));
    let id = |index: usize| {
        let mut id = [7_u8; 32];
        id[0] = index as u8;
        id
    };
    for index in 0..SESSIONS {
        bare[index % 64].lock().expect("unpoisoned").insert(id(index), vec![b'x'; 460].into());
    }
    let ours = setup.block_on(Cloakroom::populate(&Small::make()));
    let (bare, ours) = (&bare, &ours);
    // Each thread has half of the sessions.
    let session = |thread: usize, op: u64| (op as usize % (SESSIONS / 2)) * 2 + thread;
    let mut cell = Cell::new(name);
    for count in [1, 2] {
        cell = cell.add(&format!("bare map, {count}"), Role::Base, move |ops| {
            threads(count, ops, |_, thread, ops| {
                for op in 0..ops {
                    let index = session(thread, op);
                    let map = bare[index % 64].lock().expect("unpoisoned");
                    black_box(map.get(&id(index)).cloned());
                }
            })
        });
        cell = cell.add(&format!("cloakroom, {count}"), Role::Ours, move |ops| {
            threads(count, ops, |rt, thread, ops| {
                rt.block_on(async {
                    for op in 0..ops {
                        load::<Cloakroom, Small>(ours, session(thread, op)).await;
                    }
                });
            })
        });
    }
    let outcomes = cell.run();
    report.show(name, &outcomes);
    let best = |name: &str| outcomes.iter().find(|one| one.name == name).map_or(f64::NAN, Outcome::best);
    let bare = best("bare map, 1") / best("bare map, 2");
    let ours = best("cloakroom, 1") / best("cloakroom, 2");
    report.row(
        name,
        &format!("× {ours:.2}"),
        &format!("bare sharded map × {bare:.2}"),
        ours / bare,
        "≥ 0.9",
        ours / bare >= 0.9,
    );
}

fn main() {
    let mut report = Report::new("memory");
    let sizes = one_thread().block_on(async { (json_size::<Small>().await, json_size::<Large>().await) });
    report.note(&format!(
        "ten fields, {} and {} bytes of JSON; the wanted field is the fifth",
        sizes.0, sizes.1
    ));
    assert!(alloc::allocations() > 0, "allocations are counted");
    cells::<Small>(&mut report, 0.5);
    cells::<Large>(&mut report, 1.0);
    cells::<Nested>(&mut report, 1.0);
    gain(&mut report);
    report.finish();
}
