//! Fifty small fields: what is not asked for is not paid for.

use std::hint::black_box;

use cloakroom_bench::run::{one_thread, sequential};
use cloakroom_bench::{Cell, Report, Role};
use cloakroom_core::{InMemorySessionBackend, Session, SessionKey};

fn main() {
    let mut report = Report::new("fields");
    let rt = one_thread();
    let backend = InMemorySessionBackend::new();
    let names: Vec<String> = (0..50).map(|index| format!("field_{index:02}")).collect();
    let key = rt.block_on(async {
        let session = Session::new(backend.clone());
        for (index, name) in names.iter().enumerate() {
            match index % 3 {
                0 => session.set(name, 1_000_000 + index),
                1 => session.set(name, format!("value {index}")),
                _ => session.set(name, (index, index * 2)),
            }
            .expect("set");
        }
        session.save().await.expect("saved");
        let key = session.key().expect("a key");
        SessionKey::from_name(key.expose()).expect("the shape of a key")
    });
    let (backend, key, names) = (&backend, &key, &names);
    let open = async || {
        let session = Session::with_key(backend.clone(), key.clone());
        session.load().await.expect("loaded");
        session
    };
    let name = "50 fields";
    if !report.wants(name) {
        return;
    }
    let mut cell = Cell::new(name);
    for wanted in [0, 24, 48] {
        let (open, rt, field) = (&open, &rt, &names[wanted]);
        cell = cell.add(&format!("load, read number {}", wanted + 1), Role::Shown, move |ops| {
            sequential(rt, ops, async |_| {
                let session = open().await;
                black_box(session.get::<u64>(field).expect("readable").expect("there"));
            })
        });
    }
    cell = cell.add("load, read all by name", Role::Shown, |ops| {
        sequential(&rt, ops, async |_| {
            let session = open().await;
            for (index, name) in names.iter().enumerate() {
                match index % 3 {
                    0 => drop(black_box(session.get::<u64>(name).expect("readable"))),
                    1 => drop(black_box(session.get::<String>(name).expect("readable"))),
                    _ => drop(black_box(session.get::<(usize, usize)>(name).expect("readable"))),
                }
            }
        })
    });
    cell = cell.add("load, items()", Role::Shown, |ops| {
        sequential(&rt, ops, async |_| {
            let session = open().await;
            assert_eq!(black_box(session.items()).len(), 50);
        })
    });
    cell = cell.add("load, change number 25, save", Role::Shown, |ops| {
        sequential(&rt, ops, async |index| {
            let session = open().await;
            session.set(&names[24], index).expect("set");
            session.save().await.expect("saved");
        })
    });
    let outcomes = cell.run();
    report.show(name, &outcomes);
    let best = |at: usize| outcomes[at].best();
    let all = best(3).min(best(4));
    for (at, one) in ["first", "middle", "last"].into_iter().enumerate() {
        let label = format!("load and read one of 50 ({one})");
        let ratio = best(at) / all;
        let [one, of] = [best(at), all].map(cloakroom_bench::table::time);
        report.row(&label, &one, &format!("load and read all {of}"), ratio, "≤ 0.25", ratio <= 0.25);
    }
    let ratio = best(5) / all;
    let [one, of] = [best(5), all].map(cloakroom_bench::table::time);
    report.row(
        "load, change one of 50, save",
        &one,
        &format!("load and read all {of}"),
        ratio,
        "≤ 1",
        ratio <= 1.0,
    );
    report.finish();
}
