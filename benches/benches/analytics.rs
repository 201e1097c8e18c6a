//! What the analytics layer adds to a read of the in-memory store, in time and allocations.

use std::hint::black_box;
use std::time::Instant;

use cloakroom_bench::alloc::allocations;
use cloakroom_bench::run::{Outcome, one_thread};
use cloakroom_bench::{Bar, Cell, Measure, Report, Role};
use cloakroom_core::{
    InMemorySessionBackend, Record, Scope, SessionBackend, SessionBackendExt, SessionKey, Write,
};
use cloakroom_layer_analytics::{
    AnalyticsEvent, AnalyticsLayer, LoggerAnalytics, PrometheusAnalytics, QueuedAnalytics,
};
use prometheus::Registry;
use tokio::runtime::Runtime;

/// What a read may cost more, in nanoseconds and allocations.
const BAR: (f64, f64) = (300.0, 1.0);

fn timed(rt: &Runtime, ops: u64, backend: &impl SessionBackend, key: &SessionKey) -> Measure {
    rt.block_on(async {
        let before = allocations();
        let start = Instant::now();
        for _ in 0..ops {
            drop(black_box(backend.read(black_box(key)).await));
        }
        Measure { time: start.elapsed(), allocations: allocations() - before }
    })
}

fn prometheus(tenants: bool) -> AnalyticsLayer {
    let builder = PrometheusAnalytics::builder().with_backend("memory");
    let builder = if tenants { builder.with_tenants(100) } else { builder };
    AnalyticsLayer::new(builder.register(&Registry::new()).expect("a new registry"))
}

fn judge(report: &mut Report, cell: &str, outcomes: &[Outcome], name: &str) {
    let find = |name: &str| outcomes.iter().find(|one| one.name == name).expect("it ran");
    let (bare, with) = (find("bare"), find(name));
    let (time, allocations) = (with.best() - bare.best(), with.allocations - bare.allocations);
    let (most, most_allocations) = BAR;
    let (ours, against) = (format!("+ {time:.0} ns"), format!("bare {:.0} ns", bare.best()));
    report.row(cell, &ours, &against, time, "< 300 ns", time < most);
    let (ours, against) = (format!("{:.2}", with.allocations), format!("{:.2}", bare.allocations));
    report.row(
        &format!("{cell}: allocations"),
        &ours,
        &against,
        allocations,
        "≤ 1",
        allocations <= most_allocations,
    );
}

fn main() {
    let mut report = Report::new("analytics");
    let rt = one_thread();
    let store = InMemorySessionBackend::new();
    let scope = Scope::parse("tenant:acme:session:").expect("a scope");
    let plain = SessionKey::generate().expect("a key");
    for (label, key) in [("read", plain.clone()), ("read in a scope", plain.scoped(&scope))] {
        let cell = format!("{label}, added by Prometheus");
        if !report.wants(&cell) {
            continue;
        }
        let record = Record::new(vec![b'x'; 460], store.clock().now());
        rt.block_on(store.write(&key, record, Write::create())).expect("written");
        let counted = store.clone().layer(prometheus(key.scope().is_some()));
        let silent = store.clone().layer(AnalyticsLayer::new(|_: &AnalyticsEvent| ()));
        let logged = store.clone().layer(AnalyticsLayer::new(LoggerAnalytics::new()));
        let (queue, worker) = QueuedAnalytics::new(|_: &AnalyticsEvent| (), 1_000);
        let queued = store.clone().layer(AnalyticsLayer::new(queue));
        let outcomes = Cell::new(&cell)
            .add("bare", Role::Base, |ops| timed(&rt, ops, &store, &key))
            .add("Prometheus", Role::Ours, |ops| timed(&rt, ops, &counted, &key))
            .add("empty closure", Role::Shown, |ops| timed(&rt, ops, &silent, &key))
            .add("log that nobody listens to", Role::Shown, |ops| timed(&rt, ops, &logged, &key))
            .add("queue that is full", Role::Shown, |ops| timed(&rt, ops, &queued, &key))
            .run();
        report.compare(&cell, &outcomes, Bar::None);
        judge(&mut report, &cell, &outcomes, "Prometheus");
        drop(worker);
    }
    report.finish();
}
