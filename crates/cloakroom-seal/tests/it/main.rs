//! The tests of the seal.

#[cfg(feature = "envelope")]
mod envelope;
