//! What one tenant's key space adds to a read in memory.

use std::hint::black_box;
use std::time::Instant;

use cloakroom_bench::alloc::allocations;
use cloakroom_bench::run::one_thread;
use cloakroom_bench::{Bar, Cell, Measure, Report, Role};
use cloakroom_core::{InMemorySessionBackend, Record, SessionBackend, SessionKey, Write};
use cloakroom_layer_tenancy::{TenantConfig, Tenants};
use tokio::runtime::Runtime;

fn read(rt: &Runtime, ops: u64, read: impl AsyncFn() -> Option<Record>) -> Measure {
    rt.block_on(async {
        let before = allocations();
        let start = Instant::now();
        for _ in 0..ops {
            assert!(black_box(read().await).is_some());
        }
        Measure { time: start.elapsed(), allocations: allocations() - before }
    })
}

fn main() {
    let mut report = Report::new("tenancy");
    let rt = &one_thread();
    let store = InMemorySessionBackend::new();
    let tenants = Tenants::new(store.clone(), TenantConfig::default());
    let acme = tenants.of("acme").expect("a tenant");
    let key = SessionKey::generate().expect("a key");
    rt.block_on(async {
        for number in 0..1_000 {
            let record = Record::new(vec![b' '; 460], store.clock().now());
            let other = tenants.of(&format!("t{number}")).expect("a tenant");
            let theirs = SessionKey::generate().expect("a key");
            other.write(&theirs, record.clone(), Write::create()).await.expect("written");
            if number == 0 {
                store.write(&key, record.clone(), Write::create()).await.expect("written");
                acme.write(&key, record, Write::create()).await.expect("written");
            }
        }
    });
    let bare = async || store.read(&key).await.expect("read");
    let within = async || acme.read(&key).await.expect("read");
    let found = async || tenants.of("acme").expect("a tenant").read(&key).await.expect("read");

    let name = "read in memory, 460 B";
    if report.wants(name) {
        let outcomes = Cell::new(name)
            .add("tenant's", Role::Ours, |ops| read(rt, ops, within))
            .add("tenant found by name", Role::Shown, |ops| read(rt, ops, found))
            .add("bare", Role::Peer, |ops| read(rt, ops, bare))
            .run();
        report.compare(name, &outcomes, Bar::None);
        let [ours, named, bare_time] = [0, 1, 2].map(|at: usize| outcomes[at].best());
        for (label, time) in [("added by the key space", ours), ("added with finding the tenant", named)] {
            let added = time - bare_time;
            let (time, bare) = (format!("{time:.0} ns"), format!("bare {bare_time:.0} ns"));
            report.row(&format!("{label} (ns)"), &time, &bare, added, "< 300", added < 300.0);
        }
        let [ours, named, plain] = [0, 1, 2].map(|at: usize| outcomes[at].allocations);
        for (label, count) in [("the key space", ours), ("finding the tenant", named)] {
            let added = count - plain;
            let label = format!("allocations added by {label}");
            report.row(&label, &format!("{count:.1}"), &format!("bare {plain:.1}"), added, "≤ 1", added <= 1.0);
        }
    }
    report.finish();
}
