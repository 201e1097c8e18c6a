//! Compressed sessions beside zstd's own functions, called as one would call them without this layer.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use cloakroom_bench::alloc::allocations;
use cloakroom_bench::run::one_thread;
use cloakroom_bench::{Bar, Cell, Measure, Report, Role};
use cloakroom_core::{InMemorySessionBackend, Record, SessionBackend, SessionKey, Write};
use cloakroom_layer_compression::{
    BrotliCompressor, CompressedSessionBackend, Compressor, GzipCompressor, ZstdCompressor, ZstdDictionary,
};
use tokio::runtime::Runtime;

const LEVEL: i32 = 3;

fn timed(ops: u64, mut op: impl FnMut()) -> Measure {
    let before = allocations();
    let start = Instant::now();
    for _ in 0..ops {
        op();
    }
    Measure { time: start.elapsed(), allocations: allocations() - before }
}

/// A shop's session of about so many bytes; no two are alike.
fn session(number: u64, length: usize) -> Bytes {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let names = ["Ada", "Grace", "Edsger", "Barbara", "Donald", "Tony"];
    let goods = ["chair", "table", "lamp", "carpet", "shelf", "mirror", "bench"];
    let name = names[random(6) as usize];
    let mut text = format!(
        r#"{{"user_id":{},"name":"{name} {}","email":"{}.{}@example.org","staff":false,"theme":"dark","locale":"en-GB","csrf":"{:016x}{:016x}","settings":{{"density":"compact","editor":"vim","notify":"daily","zone":"Europe/London"}},"last_seen":{},"basket":["#,
        random(1_000_000),
        random(977),
        name.to_lowercase(),
        random(5_000),
        random(u64::MAX),
        random(u64::MAX),
        1_790_000_000_000 + random(1_000_000_000),
    );
    while text.len() + 80 < length {
        let good = goods[random(7) as usize];
        text.push_str(&format!(
            r#"{{"id":{},"name":"{good} {}","price":{}.{:02},"stock":{}}},"#,
            random(10_000_000),
            random(400),
            random(500),
            random(100),
            random(90)
        ));
    }
    text.push_str("null]}");
    text.into()
}

/// The lists of maps that the other benchmarks store, of about so many bytes.
fn lists(length: usize) -> Bytes {
    let mut text = String::from(r#"{"visits":1000017,"basket":["#);
    for index in 0.. {
        if text.len() + 120 > length {
            break;
        }
        let (id, price, stock) = (1_000_000 + index, 19.5 + f64::from(index), index);
        text.push_str(&format!(
            r#"{{"id":{id},"name":"Wooden chair number {index} of 7","tags":["oak","indoor"],"price":{price:?},"stock":{stock}}},"#
        ));
    }
    text.push_str("null]}");
    text.into()
}

fn compress(report: &mut Report, label: &str, payload: &Bytes, bar: Option<f64>) {
    let name = format!("compress, {label}");
    if !report.wants(&name) {
        return;
    }
    let (zstd, gzip, brotli) = (ZstdCompressor::new(), GzipCompressor::new(), BrotliCompressor::new());
    let ours = |compressor: &dyn Compressor, ops| {
        timed(ops, || {
            let mut out = vec![0; payload.len()];
            assert!(compressor.compress(black_box(payload), black_box(&mut out)).is_some());
            black_box(out);
        })
    };
    let outcomes = Cell::new(&name)
        .add("cloakroom", Role::Ours, |ops| ours(&zstd, ops))
        .add("bulk::compress", Role::Peer, |ops| {
            timed(ops, || drop(black_box(zstd::bulk::compress(black_box(payload), LEVEL))))
        })
        .add("gzip", Role::Shown, |ops| ours(&gzip, ops))
        .add("brotli", Role::Shown, |ops| ours(&brotli, ops))
        .run();
    report.compare(&name, &outcomes, bar.map_or(Bar::None, |bar| Bar::AtMost(1.0 / bar)));
}

fn save_and_load(report: &mut Report, rt: &Runtime, label: &str, payload: &Bytes, bar: f64) {
    let name = format!("save and load, {label}");
    if !report.wants(&name) {
        return;
    }
    let store = InMemorySessionBackend::new();
    let backend = CompressedSessionBackend::new(store.clone(), ZstdCompressor::new());
    let key = SessionKey::generate().expect("a key");
    let record = Record::new(payload.clone(), store.clock().now());
    let outcomes = Cell::new(&name)
        .add("cloakroom", Role::Ours, |ops| {
            timed(ops, || {
                rt.block_on(async {
                    backend.write(&key, record.clone(), Write::overwrite()).await.expect("written");
                    let read = backend.read(&key).await.expect("read").expect("there");
                    assert_eq!(black_box(read).payload.len(), payload.len());
                });
            })
        })
        .add("encode_all, decode_all", Role::Peer, |ops| {
            timed(ops, || {
                rt.block_on(async {
                    let mut record = record.clone();
                    record.payload = zstd::encode_all(&payload[..], LEVEL).expect("compressed").into();
                    store.write(&key, record, Write::overwrite()).await.expect("written");
                    let read = store.read(&key).await.expect("read").expect("there");
                    let read = zstd::decode_all(&read.payload[..]).expect("expanded");
                    assert_eq!(black_box(read).len(), payload.len());
                });
            })
        })
        .run();
    report.compare(&name, &outcomes, Bar::AtMost(1.0 / bar));
}

fn stored(rt: &Runtime, compressor: impl Compressor, payload: &Bytes) -> usize {
    let store = InMemorySessionBackend::new();
    let backend = CompressedSessionBackend::new(store.clone(), compressor);
    let key = SessionKey::generate().expect("a key");
    let record = Record::new(payload.clone(), store.clock().now());
    rt.block_on(async {
        backend.write(&key, record, Write::create()).await.expect("written");
        assert_eq!(backend.read(&key).await.expect("read").expect("there").payload, payload);
        store.read(&key).await.expect("read").expect("there").payload.len()
    })
}

/// Of sessions that the dictionary was not trained from.
fn dictionary(report: &mut Report, rt: &Runtime) {
    let name = "stored with a dictionary, 500 B";
    if !report.wants(name) {
        return;
    }
    let trained = ZstdDictionary::train((0..2_000).map(|number| session(number, 500)), 16 << 10);
    let zstd = ZstdCompressor::new().with_dictionary(trained.expect("a dictionary")).expect("prepared");
    let (mut plain, mut with, mut without) = (0, 0, 0);
    for number in 10_000..10_200 {
        let payload = session(number, 500);
        plain += payload.len();
        with += stored(rt, zstd.clone(), &payload);
        without += zstd::bulk::compress(&payload, LEVEL).expect("compressed").len();
    }
    let ratio = with as f64 / plain as f64;
    report.note(&format!("500 B without a dictionary: {} B", without / 200));
    let (ours, against) = (format!("{} B", with / 200), format!("plain {} B", plain / 200));
    report.row(name, &ours, &against, ratio, "≤ 0.5", ratio <= 0.5);

    let payload = session(77, 500);
    let outcomes = Cell::new(name)
        .add("cloakroom", Role::Ours, |ops| {
            timed(ops, || {
                let mut out = vec![0; payload.len()];
                assert!(zstd.compress(black_box(&payload), black_box(&mut out)).is_some());
                black_box(out);
            })
        })
        .add("bulk::compress, no dictionary", Role::Peer, |ops| {
            timed(ops, || drop(black_box(zstd::bulk::compress(black_box(&payload), LEVEL))))
        })
        .run();
    report.compare("compress with a dictionary, 500 B", &outcomes, Bar::None);
}

fn main() {
    let mut report = Report::new("compression");
    let rt = &one_thread();
    for (label, length, compressing, both) in [("2 KB", 2_000, 1.5, 2.5), ("8 KB", 8_000, 1.3, 1.8)] {
        let payload = lists(length);
        let sizes = [
            stored(rt, ZstdCompressor::new(), &payload),
            stored(rt, GzipCompressor::new(), &payload),
            stored(rt, BrotliCompressor::new(), &payload),
        ];
        report.note(&format!("{label}: {} B, stored as zstd, gzip, brotli: {sizes:?}", payload.len()));
        compress(&mut report, label, &payload, Some(compressing));
        save_and_load(&mut report, rt, label, &payload, both);
        // With more that is random in it, coding it weighs more than what is saved around it.
        compress(&mut report, &format!("{label}, half random"), &session(1, length), None);
    }
    dictionary(&mut report, rt);
    report.finish();
}
