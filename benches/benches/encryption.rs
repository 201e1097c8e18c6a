//! Encryption at rest, beside the same primitives called bare: the derivation of the message's key, AES-GCM and HMAC,
//! on one buffer. The store is one that keeps nothing but the last record, so that what is measured is the layer.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::aes::Aes256Enc;
use aes_gcm::aes::cipher::{Array, BlockCipherEncrypt};
use aes_gcm::{AesGcm, KeyInit};
use cloakroom_bench::alloc::allocations;
use cloakroom_bench::run::one_thread;
use cloakroom_bench::{Bar, Cell, Measure, Report, Role};
use cloakroom_core::{
    Capability, Clock, Cursor, Filter, InMemorySessionBackend, Page, Record, Removal, Result, Rotate,
    SessionBackend, SessionKey, Touch, Write,
};
use cloakroom_layer_encryption::{EncryptedSessionBackend, KeyRing, SealKey};
use cloakroom_seal::SEALED_OVERHEAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const SIZES: [(&str, usize); 3] = [("500 B", 500), ("2 KB", 2048), ("8 KB", 8192)];
/// What the layer gives to HMAC beside the head and the tag: purpose, id, no scope, no owner, each behind its length.
const CONTEXT: usize = 8 + (8 + 22) + (8 + 32) + 8 + 8;

fn timed(ops: u64, mut op: impl FnMut()) -> Measure {
    let before = allocations();
    let start = Instant::now();
    for _ in 0..ops {
        op();
    }
    Measure { time: start.elapsed(), allocations: allocations() - before }
}

/// Keeps the last record, whatever its key.
#[derive(Debug)]
struct Last(Arc<Mutex<Option<Record>>>, Clock);

impl SessionBackend for Last {
    fn capability(&self) -> Capability {
        Capability::store()
    }

    fn clock(&self) -> &Clock {
        &self.1
    }

    async fn read(&self, _: &SessionKey) -> Result<Option<Record>> {
        let kept = self.0.lock().expect("nobody panics");
        // A copy of its own, as a driver reads it from the wire.
        Ok(kept.as_ref().map(|record| {
            let mut read = record.clone();
            read.payload = record.payload.to_vec().into();
            read
        }))
    }

    async fn write(&self, key: &SessionKey, record: Record, _: Write) -> Result<SessionKey> {
        *self.0.lock().expect("nobody panics") = Some(record);
        Ok(key.clone())
    }

    async fn rotate(&self, _: &SessionKey, _: &SessionKey, _: Record, _: Rotate) -> Result<SessionKey> {
        unreachable!()
    }

    async fn touch(&self, _: &SessionKey, _: Touch) -> Result<Option<SessionKey>> {
        unreachable!()
    }

    async fn remove(&self, _: &SessionKey, _: Removal) -> Result<bool> {
        unreachable!()
    }

    async fn scan(&self, _: &Filter, _: Option<Cursor>, _: usize) -> Result<Page> {
        unreachable!()
    }

    async fn count(&self, _: &Filter) -> Result<u64> {
        unreachable!()
    }

    async fn remove_all(&self, _: &Filter, _: Removal) -> Result<u64> {
        unreachable!()
    }

    async fn sweep(&self, _: usize) -> Result<u64> {
        unreachable!()
    }
}

/// What sealing takes at the least: the primitives, called in the order of the envelope, with the same bytes and one
/// buffer for each value.
struct Bare {
    schedule: Aes256Enc,
    mac: Hmac<Sha256>,
}

impl Bare {
    fn new() -> Self {
        Self {
            schedule: Aes256Enc::new(&[1; 32].into()),
            mac: Hmac::new_from_slice(&[2; 32]).expect("HMAC takes any key"),
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

    fn authenticate(&self, head: &[u8], tag: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(head);
        mac.update(tag);
        mac.update(&[0; CONTEXT]);
        mac
    }

    fn seal(&self, message: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).expect("randomness");
        let mut buffer = Vec::with_capacity(message.len() + 1 + SEALED_OVERHEAD);
        buffer.extend_from_slice(&[0x80, 0, 0, 0, 0]);
        buffer.extend_from_slice(&nonce);
        buffer.push(0);
        buffer.extend_from_slice(message);
        let rest: [u8; 12] = nonce[12..].try_into().expect("12 bytes");
        let message = buffer[29..].as_mut();
        let tag = self
            .cipher(&nonce)
            .encrypt_inout_detached(&rest.into(), &[], message.into())
            .expect("it is short");
        let mac = self.authenticate(&buffer[..29], &tag).finalize();
        buffer.extend_from_slice(&tag);
        buffer.extend_from_slice(&mac.into_bytes());
        buffer
    }

    fn open(&self, sealed: &[u8]) -> Vec<u8> {
        let mut buffer = sealed.to_vec();
        let end = buffer.len() - 48;
        let (head, seal) = (&buffer[..29], &buffer[end..]);
        self.authenticate(head, &seal[..16]).verify_slice(&seal[16..]).expect("authentic");
        let nonce: [u8; 24] = head[5..].try_into().expect("24 bytes");
        let rest: [u8; 12] = nonce[12..].try_into().expect("12 bytes");
        let tag: [u8; 16] = seal[..16].try_into().expect("16 bytes");
        let message = buffer[29..end].as_mut();
        let opened =
            self.cipher(&nonce).decrypt_inout_detached(&rest.into(), &[], message.into(), &tag.into());
        opened.expect("authentic");
        buffer
    }
}

fn main() {
    let mut report = Report::new("encryption");
    let rt = one_thread();
    let bare = Bare::new();
    let key = SessionKey::generate().expect("randomness");
    let _ = key.id(); // computed once for each request, with the layer or without
    for (size, length) in SIZES {
        let ring = KeyRing::new([SealKey::generate().expect("randomness")]).expect("one key");
        let kept = Arc::new(Mutex::new(None));
        let inner = Last(Arc::clone(&kept), Clock::system());
        let plain = Last(Arc::new(Mutex::new(None)), Clock::system());
        let backend = EncryptedSessionBackend::new(inner, ring.clone()).expect("a store");
        let record = Record::new(vec![b'x'; length], backend.clock().now());

        let cell = format!("write {size}, over bare primitives");
        if report.wants(&cell) {
            let outcomes = Cell::new(&cell)
                .add("cloakroom, write", Role::Ours, |ops| {
                    timed(ops, || {
                        let write = backend.write(&key, black_box(&record).clone(), Write::overwrite());
                        drop(black_box(rt.block_on(write)));
                    })
                })
                .add("bare primitives, write", Role::Peer, |ops| {
                    timed(ops, || {
                        let mut sealed = black_box(&record).clone();
                        sealed.payload = bare.seal(&sealed.payload).into();
                        let write = plain.write(&key, sealed, Write::overwrite());
                        drop(black_box(rt.block_on(write)));
                    })
                })
                .run();
            report.compare(&cell, &outcomes, Bar::AtMost(1.0 / 0.85));
        }

        let cell = format!("read {size}, over bare primitives");
        if report.wants(&cell) {
            rt.block_on(backend.write(&key, record.clone(), Write::overwrite())).expect("it fits");
            let sealed = bare.seal(&record.payload);
            let outcomes = Cell::new(&cell)
                .add("cloakroom, read", Role::Ours, |ops| {
                    timed(ops, || drop(black_box(rt.block_on(backend.read(&key)))))
                })
                .add("bare primitives, read", Role::Peer, |ops| {
                    let mut stored = record.clone();
                    stored.payload = sealed.clone().into();
                    rt.block_on(plain.write(&key, stored, Write::overwrite())).expect("it fits");
                    timed(ops, || {
                        let read = rt.block_on(async {
                            let kept = plain.0.lock().expect("nobody panics");
                            kept.as_ref().map(|record| {
                                let mut read = record.clone();
                                read.payload = bare.open(&record.payload).into();
                                read
                            })
                        });
                        drop(black_box(read));
                    })
                })
                .run();
            report.compare(&cell, &outcomes, Bar::AtMost(1.0 / 0.85));
        }

        let cell = format!("in-memory store, {size}");
        if report.wants(&cell) {
            let store = InMemorySessionBackend::new();
            let backend = EncryptedSessionBackend::new(store.clone(), ring).expect("a store");
            let bare_key = SessionKey::generate().expect("randomness");
            rt.block_on(backend.write(&key, record.clone(), Write::overwrite())).expect("it fits");
            rt.block_on(store.write(&bare_key, record.clone(), Write::overwrite())).expect("it fits");
            let outcomes = Cell::new(&cell)
                .add("read, encrypted", Role::Shown, |ops| {
                    timed(ops, || drop(black_box(rt.block_on(backend.read(&key)))))
                })
                .add("read, plain", Role::Shown, |ops| {
                    timed(ops, || drop(black_box(rt.block_on(store.read(&bare_key)))))
                })
                .add("write, encrypted", Role::Shown, |ops| {
                    timed(ops, || {
                        drop(black_box(rt.block_on(backend.write(&key, record.clone(), Write::overwrite()))));
                    })
                })
                .add("write, plain", Role::Shown, |ops| {
                    timed(ops, || {
                        drop(black_box(rt.block_on(store.write(
                            &bare_key,
                            record.clone(),
                            Write::overwrite(),
                        ))));
                    })
                })
                .run();
            report.show(&cell, &outcomes);
        }
    }
    report.finish();
}
