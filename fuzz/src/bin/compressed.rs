//! Stored payloads to the compression layer: with the tag they have, and behind each algorithm's.
#![cfg_attr(fuzzing, no_main)]

use cloakroom_core::{ErrorKind, InMemorySessionBackend, Record, SessionBackend, SessionKey, Write};
use cloakroom_layer_compression::{
    BrotliCompressor, CompressedSessionBackend, Compressor, GzipCompressor, ZstdCompressor,
};

cloakroom_fuzz::target!(compressed);

const LIMIT: usize = 1 << 16;

fn compressed(data: &[u8]) {
    let algorithms: [&dyn Compressor; 3] =
        [&ZstdCompressor::new(), &GzipCompressor::new(), &BrotliCompressor::new()];
    for algorithm in algorithms {
        if let Ok(payload) = algorithm.expand(data, LIMIT) {
            assert!(payload.len() <= LIMIT, "{}: over the limit", algorithm.name());
            round_trip(algorithm, &payload);
        }
        round_trip(algorithm, data);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(stored(data));
}

fn round_trip(algorithm: &dyn Compressor, payload: &[u8]) {
    let mut out = vec![0; payload.len() + 1024];
    let length = algorithm.compress(payload, &mut out).expect("there is room");
    let expanded = algorithm.expand(&out[..length], LIMIT);
    assert_eq!(expanded.as_deref(), Ok(payload), "{}: not what was compressed", algorithm.name());
}

async fn stored(data: &[u8]) {
    let store = InMemorySessionBackend::new();
    let backend = CompressedSessionBackend::new(store.clone(), ZstdCompressor::new())
        .with_threshold(0)
        .with_expansion_limit(LIMIT);
    let key = SessionKey::generate().expect("a key");
    let record = Record::new(data.to_vec(), store.clock().now());
    store.write(&key, record.clone(), Write::overwrite()).await.expect("stored");
    match backend.read(&key).await {
        Ok(read) => assert!(read.expect("a record").payload.len() <= LIMIT.max(data.len())),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupted),
    }
    backend.write(&key, record, Write::overwrite()).await.expect("stored");
    let read = backend.read(&key).await.expect("what was written").expect("a record");
    assert_eq!(read.payload, data, "not what was written");
}
