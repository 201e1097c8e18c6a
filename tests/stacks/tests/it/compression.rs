//! Compression over the stores it is used with, and inside sealed cookies by name only.

use std::time::Duration;

use cloakroom_core::{
    Clock, ErrorKind, Filter, Record, Removal, Rotate, SessionBackend, SessionBackendExt, SessionKey, Touch,
    Write,
};
use cloakroom_layer_compression::{
    BrotliCompressor, CompressedSessionBackend, CompressionLayer, GzipCompressor, ZstdCompressor,
};

use crate::place;

fn eager() -> CompressionLayer {
    CompressionLayer::new(ZstdCompressor::new()).with_threshold(0)
}

cloakroom_testkit::conformance!(sqlite, |clock| async move { place::sqlite(clock).await.layer(eager()) });

cloakroom_testkit::conformance!(file, |clock| async move {
    place::file(clock).await.layer(CompressionLayer::new(GzipCompressor::new()).with_threshold(0))
});

cloakroom_testkit::conformance!(
    postgres,
    optional | clock | async move { Some(place::postgres(clock).await?.layer(eager())) }
);

cloakroom_testkit::conformance!(cookie, |clock| async move {
    place::cookie(clock).layer(eager().allow_inside_sealed())
});

cloakroom_testkit::conformance!(cookie_brotli, |clock| async move {
    CompressedSessionBackend::new(place::cookie(clock), BrotliCompressor::new())
        .with_threshold(0)
        .allow_inside_sealed()
});

/// CV-42: who wraps a sealed backend without saying so is told by every operation.
#[tokio::test]
async fn sealed_backend_without_the_name_every_operation_invalid_config() {
    let cookies = place::cookie(Clock::system());
    let backend = CompressedSessionBackend::new(cookies.clone().shared(), ZstdCompressor::new());
    let now = backend.clock().now();
    let record = Record::new("{}", now);
    let new = SessionKey::generate().unwrap();
    let key = cookies.write(&new, record.clone(), Write::create()).await.unwrap();
    let (rotate, touch) =
        (Rotate::new(record.version), Touch::new(record.version, now + Duration::from_secs(9)));
    let filter = Filter::everywhere();
    let errors = [
        backend.read(&key).await.unwrap_err(),
        backend.write(&new, record.clone(), Write::create()).await.unwrap_err(),
        backend.rotate(&key, &new, record, rotate).await.unwrap_err(),
        backend.touch(&key, touch).await.unwrap_err(),
        backend.remove(&key, Removal::Flushed).await.unwrap_err(),
        backend.scan(&filter, None, 10).await.unwrap_err(),
        backend.count(&filter).await.unwrap_err(),
        backend.remove_all(&filter, Removal::Revoked).await.unwrap_err(),
        backend.sweep(10).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        assert!(error.to_string().contains("allow_inside_sealed"), "{error}");
    }
}

/// The longest text of a cookie whose session has that payload.
async fn length_of(backend: &impl SessionBackend, payload: String) -> usize {
    let key = SessionKey::generate().unwrap();
    let record = Record::new(payload, backend.clock().now());
    backend.write(&key, record, Write::create()).await.unwrap().expose().len()
}

/// CV-42: guesses that fit and guesses that do not give cookies of one length; lengths come in steps of a block.
#[tokio::test]
async fn sealed_lengths_come_in_steps_and_hide_a_guess() {
    let backend = place::cookie(Clock::system()).layer(eager().allow_inside_sealed());
    let session = |guess: &str| {
        format!(r#"{{"csrf":"5ad1f0c36e","query":"csrf:{guess}","rest":"{}"}}"#, "lorem ipsum ".repeat(40))
    };
    let right = length_of(&backend, session("5ad1f0c36e")).await;
    for wrong in ["zqwvkjhxyp", "5zqwvkjhxy", "5ad1fqwvkj", "5ad1f0c36q"] {
        assert_eq!(length_of(&backend, session(wrong)).await, right, "{wrong}");
    }
    let mut lengths = std::collections::BTreeSet::new();
    for length in 0..=512 {
        let noise: String = (0..length).map(|at| char::from(b'!' + (at * at * 31 % 89) as u8)).collect();
        lengths.insert(length_of(&backend, noise).await);
    }
    assert!(lengths.len() <= 9, "{lengths:?}");
}

#[tokio::test]
async fn sealed_session_of_before_the_layer_still_opens_and_larger_ones_fit_in_less() {
    let cookies = place::cookie(Clock::system());
    let payload = format!(r#"{{"text":"{}"}}"#, "many words, ".repeat(100));
    let record = Record::new(payload.clone(), cookies.clock().now());
    let key = SessionKey::generate().unwrap();
    let before = cookies.write(&key, record, Write::create()).await.unwrap();
    let backend = cookies.clone().layer(eager().allow_inside_sealed());
    assert_eq!(backend.read(&before).await.unwrap().unwrap().payload, payload);
    assert!(length_of(&backend, payload).await * 2 < before.expose().len());
    let (room, within) = (backend.capability().max_payload, cookies.capability().max_payload);
    assert!((within - 66..within).contains(&room), "{room} of {within}");
}

/// An algorithm that changes on a live site, on a store that keeps bytes elsewhere.
#[tokio::test]
async fn sqlite_algorithm_changes_on_a_live_site() {
    let store = place::sqlite(Clock::system()).await;
    let payload = format!(r#"{{"text":"{}"}}"#, "many words, ".repeat(100));
    let layers = [
        CompressionLayer::new(ZstdCompressor::new()),
        CompressionLayer::new(GzipCompressor::new()),
        CompressionLayer::new(BrotliCompressor::new()),
    ];
    let mut keys = Vec::new();
    for (layer, tag) in layers.iter().zip([0x11, 0x12, 0x13]) {
        let key = SessionKey::generate().unwrap();
        let record = Record::new(payload.clone(), store.clock().now());
        store.clone().layer(layer.clone()).write(&key, record, Write::create()).await.unwrap();
        assert_eq!(store.read(&key).await.unwrap().unwrap().payload[0], tag);
        keys.push(key);
    }
    for layer in layers {
        let backend = store.clone().layer(layer);
        for key in &keys {
            assert_eq!(backend.read(key).await.unwrap().unwrap().payload, payload);
        }
    }
}
