//! The whole contract, with every algorithm, over memory.

use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
use cloakroom_layer_compression::{
    BrotliCompressor, CompressedSessionBackend, CompressionLayer, GzipCompressor, ZstdCompressor,
};

use crate::dictionary;

cloakroom_testkit::conformance!(zstd, |clock| async move {
    CompressedSessionBackend::new(InMemorySessionBackend::with_clock(clock), ZstdCompressor::new())
});

cloakroom_testkit::conformance!(zstd_from_the_first_byte, |clock| async move {
    let zstd = ZstdCompressor::new().with_dictionary(dictionary::trained(1)).unwrap();
    InMemorySessionBackend::with_clock(clock).layer(CompressionLayer::new(zstd).with_threshold(0))
});

cloakroom_testkit::conformance!(gzip, |clock| async move {
    CompressedSessionBackend::new(InMemorySessionBackend::with_clock(clock), GzipCompressor::new())
        .with_threshold(0)
});

cloakroom_testkit::conformance!(brotli, |clock| async move {
    CompressedSessionBackend::new(InMemorySessionBackend::with_clock(clock), BrotliCompressor::new())
        .with_threshold(0)
});

cloakroom_testkit::conformance!(twice, |clock| async move {
    InMemorySessionBackend::with_clock(clock)
        .layer(CompressionLayer::new(ZstdCompressor::new()).with_threshold(0))
        .layer(CompressionLayer::new(GzipCompressor::new()).with_threshold(0))
});
