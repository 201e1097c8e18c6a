//! Sealed sessions: sealing and opening, beside the `cookie` crate's private jar, which actix-session and tower-cookies
//! build on, and beside the same primitives called bare.
//!
//! What is judged begins and ends with the text of the cookie, `name=value`. The private jar's value is not made for
//! cookies yet: both libraries percent-encode it on the way out and decode it on the way in.

use std::hint::black_box;
use std::time::Instant;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::aes::Aes256Enc;
use aes_gcm::aes::cipher::{Array, BlockCipherEncrypt};
use aes_gcm::{AesGcm, KeyInit};
use base64::Engine;
use cloakroom_backend_cookie::{CookieCodec, CookieSessionBackend, KeyRing, SealKey};
use cloakroom_bench::alloc::allocations;
use cloakroom_bench::run::{Outcome, one_thread};
use cloakroom_bench::{Bar, Cell, Measure, Report, Role};
use cloakroom_core::{Capability, Record, SessionBackend, SessionId, SessionKey, Timestamp, Write};
use cloakroom_seal::{Codec, Contents, SEALED_OVERHEAD};
use cookie::{Cookie, CookieJar, Key};
use hmac::{Hmac, Mac};
use sha2::Sha256;

const NAME: &str = "__Host-id";
const SIZES: [(&str, usize); 2] = [("500 B", 500), ("2 KB", 2048)];

fn timed(ops: u64, mut op: impl FnMut()) -> Measure {
    let before = allocations();
    let start = Instant::now();
    for _ in 0..ops {
        op();
    }
    Measure { time: start.elapsed(), allocations: allocations() - before }
}

/// JSON of about that length, without an owner.
fn payload(length: usize) -> String {
    let mut json = String::from("{\"user_id\":4211093,\"notes\":\"");
    while json.len() < length - 2 {
        json.push_str("wooden chairs, oak, seen twice; ");
    }
    json.truncate(length - 2);
    json.push_str("\"}");
    json
}

fn contents(payload: &str) -> Contents {
    let now = Timestamp::from_millis(1_790_000_123_456);
    let record = Record::new(payload.to_owned(), now)
        .with_expires_at(Some(now + std::time::Duration::from_secs(3600)));
    Contents { id: SessionId::from_bytes([7; 32]), generation: 0, record }
}

/// What sealing takes at the least: the primitives, called in the order of the envelope on one buffer.
struct Bare {
    schedule: Aes256Enc,
    mac: Hmac<Sha256>,
    base64: base64::engine::Simd,
    buffer: Vec<u8>,
}

impl Bare {
    /// For a value of that many bytes around a message.
    fn new(message: usize) -> Self {
        let value = message + SEALED_OVERHEAD;
        Self {
            schedule: Aes256Enc::new(&[1; 32].into()),
            mac: Hmac::new_from_slice(&[2; 32]).expect("HMAC takes any key"),
            base64: base64::engine::Simd::url_safe(base64::engine::general_purpose::NO_PAD),
            buffer: vec![0; value],
        }
    }

    fn cipher(&self, nonce: &[u8; 24]) -> AesGcm<Aes256Enc, U12> {
        let mut blocks = [Array::from([0; 16]), Array::from([1; 16])];
        blocks[0][4..].copy_from_slice(&nonce[..12]);
        blocks[1][4..].copy_from_slice(&nonce[..12]);
        self.schedule.encrypt_blocks(&mut blocks);
        let mut key = [0; 32];
        key[..16].copy_from_slice(&blocks[0]);
        key[16..].copy_from_slice(&blocks[1]);
        AesGcm::new(&key.into())
    }

    /// Of the same number of bytes as the envelope's for a cookie without a scope.
    fn authenticate(&self, head: &[u8], tag: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(head);
        mac.update(tag);
        mac.update(&[0; 8 + 8 + 18 + 8 + NAME.len()]);
        mac
    }

    fn seal(&mut self, message: &[u8]) -> String {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).expect("randomness");
        self.buffer[5..29].copy_from_slice(&nonce);
        let end = self.buffer.len() - 48;
        self.buffer[end - message.len()..end].copy_from_slice(message);
        let cipher = self.cipher(&nonce);
        let rest: [u8; 12] = nonce[12..].try_into().expect("12 bytes");
        let message = self.buffer[29..end].as_mut();
        let tag = cipher.encrypt_inout_detached(&rest.into(), &[], message.into()).expect("it is short");
        self.buffer[end..end + 16].copy_from_slice(&tag);
        let mac = self.authenticate(&self.buffer[..29], &tag).finalize();
        self.buffer[end + 16..].copy_from_slice(&mac.into_bytes());
        self.base64.encode(&self.buffer)
    }

    fn open(&self, text: &str) -> Vec<u8> {
        let mut buffer = self.base64.decode(text).expect("it is base64");
        let end = buffer.len() - 48;
        let (head, seal) = (&buffer[..29], &buffer[end..]);
        self.authenticate(head, &seal[..16]).verify_slice(&seal[16..]).expect("authentic");
        let nonce: [u8; 24] = head[5..].try_into().expect("24 bytes");
        let cipher = self.cipher(&nonce);
        let rest: [u8; 12] = nonce[12..].try_into().expect("12 bytes");
        let tag: [u8; 16] = seal[..16].try_into().expect("16 bytes");
        let message = buffer[29..end].as_mut();
        cipher.decrypt_inout_detached(&rest.into(), &[], message.into(), &tag.into()).expect("authentic");
        buffer
    }
}

fn main() {
    let mut report = Report::new("cookie");
    let ring = KeyRing::new([SealKey::generate().expect("randomness")]).expect("one key");
    let codec = CookieCodec::new(ring.clone());
    let backend = CookieSessionBackend::new(ring);
    let capability: Capability = backend.capability();
    let jar_key = Key::generate();
    let rt = one_thread();

    for (size, length) in SIZES {
        let payload = payload(length);
        let contents = contents(&payload);
        let frame = contents.record.payload.len() + 55;
        let text = codec.seal(None, &contents).expect("it fits");
        let mut jar = CookieJar::new();
        jar.private_mut(&jar_key).add(Cookie::new(NAME, payload.clone()));
        let sealed_by_jar = jar.get(NAME).expect("it was added").clone();

        let theirs = sealed_by_jar.encoded().to_string().len() - NAME.len() - 1;
        let more = text.len() as f64 - theirs as f64;
        let cell = format!("text of {size}, bytes more");
        if report.wants(&cell) {
            report.row(&cell, &text.len().to_string(), &theirs.to_string(), more, "≤ 160", more <= 160.0);
        }

        let cell = format!("seal {size}");
        if report.wants(&cell) {
            let mut bare = Bare::new(frame);
            let outcomes = Cell::new(&cell)
                .add("cloakroom", Role::Ours, |ops| {
                    timed(ops, || {
                        let text = codec.seal(None, black_box(&contents)).expect("it fits");
                        drop(black_box(format!("{NAME}={text}")));
                    })
                })
                .add("cloakroom, value only", Role::Shown, |ops| {
                    timed(ops, || drop(black_box(codec.seal(None, black_box(&contents)))))
                })
                .add("cookie, private jar", Role::Peer, |ops| {
                    timed(ops, || {
                        let mut jar = CookieJar::new();
                        jar.private_mut(&jar_key).add(Cookie::new(NAME, black_box(&payload).clone()));
                        drop(black_box(jar.get(NAME).map(|cookie| cookie.encoded().to_string())));
                    })
                })
                .add("private jar, not encoded", Role::Shown, |ops| {
                    timed(ops, || {
                        let mut jar = CookieJar::new();
                        jar.private_mut(&jar_key).add(Cookie::new(NAME, black_box(&payload).clone()));
                        black_box(jar.get(NAME));
                    })
                })
                .add("bare primitives", Role::Base, |ops| {
                    timed(ops, || drop(black_box(bare.seal(black_box(payload.as_bytes())))))
                })
                .run();
            report.compare(&cell, &outcomes, Bar::AtMost(0.8));
            against_bare(&mut report, &cell, &outcomes);
        }

        let cell = format!("open {size}");
        if report.wants(&cell) {
            let mut bare = Bare::new(frame);
            let bare_text = bare.seal(payload.as_bytes());
            let line = sealed_by_jar.encoded().to_string();
            let jar = CookieJar::new();
            let ours = format!("{NAME}={text}");
            let outcomes = Cell::new(&cell)
                .add("cloakroom", Role::Ours, |ops| {
                    timed(ops, || {
                        let (_, value) = black_box(ours.as_str()).split_once('=').expect("a cookie");
                        let key = SessionKey::parse(value, &capability).expect("a key");
                        drop(black_box(codec.open(None, key.expose()).expect("ours")));
                    })
                })
                .add("cloakroom, value only", Role::Shown, |ops| {
                    timed(ops, || drop(black_box(codec.open(None, black_box(&text)).expect("ours"))))
                })
                .add("cookie, private jar", Role::Peer, |ops| {
                    timed(ops, || {
                        let cookie = Cookie::parse_encoded(black_box(line.clone())).expect("a cookie");
                        drop(black_box(jar.private(&jar_key).decrypt(cookie).expect("theirs")));
                    })
                })
                .add("private jar, not encoded", Role::Shown, |ops| {
                    timed(ops, || {
                        let cookie = Cookie::new(NAME, black_box(sealed_by_jar.value()).to_owned());
                        drop(black_box(jar.private(&jar_key).decrypt(cookie).expect("theirs")));
                    })
                })
                .add("bare primitives", Role::Base, |ops| {
                    timed(ops, || drop(black_box(bare.open(black_box(&bare_text)))))
                })
                .run();
            report.compare(&cell, &outcomes, Bar::AtMost(0.8));
            against_bare(&mut report, &cell, &outcomes);
        }

        let cell = format!("backend, {size}");
        if report.wants(&cell) {
            let record = contents.record.clone().with_expires_at(None);
            let key = rt.block_on(async {
                let new = SessionKey::generate().expect("randomness");
                backend.write(&new, record.clone(), Write::create()).await.expect("it fits")
            });
            let outcomes = Cell::new(&cell)
                .add("read", Role::Shown, |ops| {
                    timed(ops, || {
                        let shown = SessionKey::parse(black_box(key.expose()), &capability).expect("a key");
                        drop(black_box(rt.block_on(backend.read(&shown))));
                    })
                })
                .add("update", Role::Shown, |ops| {
                    timed(ops, || {
                        let how = Write::update(record.version);
                        drop(black_box(rt.block_on(backend.write(&key, record.clone(), how))));
                    })
                })
                .run();
            report.show(&cell, &outcomes);
        }
    }
    report.finish();
}

/// What is judged beside the bare primitives is the value alone.
fn against_bare(report: &mut Report, cell: &str, outcomes: &[Outcome]) {
    let roles = [("cloakroom, value only", Role::Ours), ("bare primitives", Role::Peer)];
    let pair = roles.map(|(name, role)| {
        let outcome = outcomes.iter().find(|one| one.name == name).expect("it ran");
        Outcome { role, ..outcome.clone() }
    });
    report.compare(&format!("{cell}, over bare primitives"), &pair, Bar::AtMost(1.15));
}
