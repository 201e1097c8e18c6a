#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
#[cfg(feature = "brotli")]
mod brotli;
mod compressor;
#[cfg(feature = "zstd")]
mod dictionary;
mod envelope;
#[cfg(feature = "gzip")]
mod gzip;
mod layer;
#[cfg(feature = "zstd")]
mod zstd;

pub use backend::CompressedSessionBackend;
#[cfg(feature = "brotli")]
pub use brotli::BrotliCompressor;
pub use compressor::{Compressor, Tag, Unreadable};
#[cfg(feature = "zstd")]
pub use dictionary::ZstdDictionary;
#[cfg(feature = "gzip")]
pub use gzip::GzipCompressor;
pub use layer::CompressionLayer;
#[cfg(feature = "zstd")]
pub use zstd::ZstdCompressor;
