//! Sessions in tokens, beside the `jsonwebtoken` crate's own `encode` and `decode` of claims that hold the same data.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cloakroom_backend_jwt::{JwtKey, JwtSessionBackend};
use cloakroom_bench::alloc::allocations;
use cloakroom_bench::run::one_thread;
use cloakroom_bench::{Bar, Cell, Measure, Report, Role};
use cloakroom_core::{Owner, Record, SessionBackend, SessionKey, Write};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

const SECRET: [u8; 32] = [7; 32];
const ES256: &str = include_str!("../../crates/cloakroom-backend-jwt/tests/keys/p256.pem");
const EDDSA: &str = include_str!("../../crates/cloakroom-backend-jwt/tests/keys/ed25519.pem");
const RS256: &str = include_str!("../../crates/cloakroom-backend-jwt/tests/keys/rsa-2048.pem");

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    exp: i64,
    data: Data,
}

#[derive(Serialize, Deserialize)]
struct Data {
    user_id: u64,
    notes: String,
}

fn timed(ops: u64, mut op: impl FnMut()) -> Measure {
    let before = allocations();
    let start = Instant::now();
    for _ in 0..ops {
        op();
    }
    Measure { time: start.elapsed(), allocations: allocations() - before }
}

fn main() {
    let mut report = Report::new("jwt");
    let rt = one_thread();
    for (size, length) in [("500 B", 500), ("2 KB", 1840)] {
        let data = Data { user_id: 4_211_093, notes: "seen; ".repeat((length - 32) / 6) };
        let payload = serde_json::to_string(&data).expect("json");
        let backend = JwtSessionBackend::new(JwtKey::hs256(&SECRET).expect("a key")).expect("settings");
        let now = backend.clock().now();
        let end = now + Duration::from_secs(3600);
        let owner = Owner::parse("user:4211093").expect("an owner");
        let record = Record::new(payload, now).with_owner(Some(owner)).with_expires_at(Some(end));
        let claims = Claims {
            sub: "user:4211093".to_owned(),
            iat: now.as_millis() / 1000,
            exp: end.as_millis() / 1000,
            data,
        };
        let secret = SessionKey::generate().expect("randomness");
        let written =
            || rt.block_on(backend.write(&secret, record.clone(), Write::create())).expect("it fits");
        let (signing, verifying) = (EncodingKey::from_secret(&SECRET), DecodingKey::from_secret(&SECRET));
        let header = Header::new(Algorithm::HS256);
        let validation = Validation::new(Algorithm::HS256);

        let cell = format!("write {size}");
        if report.wants(&cell) {
            let outcomes = Cell::new(&cell)
                .add("cloakroom", Role::Ours, |ops| timed(ops, || drop(black_box(written()))))
                .add("jsonwebtoken", Role::Peer, |ops| {
                    timed(ops, || drop(black_box(encode(&header, black_box(&claims), &signing))))
                })
                .run();
            report.compare(&cell, &outcomes, Bar::AtMost(1.5));
        }

        let cell = format!("read {size}");
        if report.wants(&cell) {
            let (ours, theirs) = (written(), encode(&header, &claims, &signing).expect("encoded"));
            report.note(&format!("{size}: {} bytes of text, theirs {}", ours.expose().len(), theirs.len()));
            let capability = backend.capability();
            let outcomes = Cell::new(&cell)
                .add("cloakroom", Role::Ours, |ops| {
                    timed(ops, || {
                        let key = SessionKey::parse(black_box(ours.expose()), &capability).expect("a key");
                        let read = rt.block_on(backend.read(&key)).expect("read");
                        assert!(black_box(read).is_some());
                    })
                })
                .add("jsonwebtoken", Role::Peer, |ops| {
                    timed(ops, || {
                        let read = decode::<Claims>(black_box(&theirs), &verifying, &validation);
                        assert!(black_box(read).is_ok());
                    })
                })
                .run();
            report.compare(&cell, &outcomes, Bar::AtMost(1.5));
        }

        let cell = format!("other algorithms, {size}");
        if report.wants(&cell) {
            let keys = [
                ("ES256", JwtKey::es256_pem(ES256)),
                ("EdDSA", JwtKey::eddsa_pem(EDDSA)),
                ("RS256", JwtKey::rs256_pem(RS256)),
            ];
            let others = keys.map(|(name, key)| {
                let backend = JwtSessionBackend::new(key.expect("a key")).expect("settings");
                let write = backend.write(&secret, record.clone(), Write::create());
                let key = rt.block_on(write).expect("it fits");
                (name, backend, key)
            });
            let mut run = Cell::new(&cell);
            for (name, backend, key) in &others {
                let (rt, record, secret) = (&rt, &record, &secret);
                run = run.add(&format!("{name} write"), Role::Shown, move |ops| {
                    timed(ops, || {
                        let write = backend.write(secret, record.clone(), Write::create());
                        drop(black_box(rt.block_on(write)));
                    })
                });
                run = run.add(&format!("{name} read"), Role::Shown, move |ops| {
                    timed(ops, || drop(black_box(rt.block_on(backend.read(key)))))
                });
            }
            let outcomes = run.run();
            report.show(&cell, &outcomes);
        }
    }
    report.finish();
}
