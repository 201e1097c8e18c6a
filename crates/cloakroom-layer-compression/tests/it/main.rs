//! The integration tests of the compression layer. They are compiled with all algorithms.
#![cfg(all(feature = "zstd", feature = "gzip", feature = "brotli"))]
#![expect(clippy::unwrap_used, reason = "tests")]

mod bomb;
mod conformance;
mod damage;
mod dictionary;
mod place;
mod session;
mod site;
mod tag;
