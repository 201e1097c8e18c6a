//! What the tests write, where, and with what.

use std::sync::Arc;

use bytes::Bytes;
use cloakroom_core::{InMemorySessionBackend, Record, Result, SessionBackend, SessionKey, Version, Write};
use cloakroom_layer_compression::{
    BrotliCompressor, CompressedSessionBackend, Compressor, GzipCompressor, ZstdCompressor,
};

pub(crate) type Compressed = CompressedSessionBackend<InMemorySessionBackend>;

/// Every algorithm with its tag.
pub(crate) fn algorithms() -> [(u8, Arc<dyn Compressor>); 3] {
    [
        (0x11, Arc::new(ZstdCompressor::new())),
        (0x12, Arc::new(GzipCompressor::new())),
        (0x13, Arc::new(BrotliCompressor::new())),
    ]
}

/// A session of about so many bytes of JSON.
pub(crate) fn session(length: usize) -> Bytes {
    let mut text = String::from("{\"items\":[");
    for number in 0.. {
        if text.len() + 60 > length {
            break;
        }
        let price = number * 7919 % 1000;
        text.push_str(&format!(r#"{{"id":{number},"name":"chair {price}","price":{price}}},"#));
    }
    text.push_str("null]}");
    text.into()
}

/// Bytes that nothing compresses.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) fn over(store: &InMemorySessionBackend, compressor: impl Compressor) -> Compressed {
    CompressedSessionBackend::new(store.clone(), compressor)
}

/// Creates a session with that payload.
pub(crate) async fn create(backend: &impl SessionBackend, payload: impl Into<Bytes>) -> SessionKey {
    let key = SessionKey::generate().unwrap();
    let record = Record::new(payload, backend.clock().now());
    backend.write(&key, record, Write::create()).await.unwrap()
}

/// Writes another payload over what is there.
pub(crate) async fn update(backend: &impl SessionBackend, key: &SessionKey, payload: impl Into<Bytes>) {
    let expected = version(backend, key).await;
    let now = backend.clock().now();
    let record = Record::new(payload, now).with_version(expected.next(now));
    backend.write(key, record, Write::update(expected)).await.unwrap();
}

async fn version(backend: &impl SessionBackend, key: &SessionKey) -> Version {
    backend.read(key).await.unwrap().unwrap().version
}

pub(crate) async fn read(backend: &impl SessionBackend, key: &SessionKey) -> Result<Bytes> {
    Ok(backend.read(key).await?.expect("a session").payload)
}
