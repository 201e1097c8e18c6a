//! The integration tests of the encryption layer.
#![expect(clippy::unwrap_used, reason = "tests")]

mod binding;
mod conformance;
mod misuse;
mod owner;
mod place;
mod plain;
mod reencrypt;
mod rotation;
mod secrecy;
mod tamper;
