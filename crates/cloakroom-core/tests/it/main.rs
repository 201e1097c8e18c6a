//! The integration tests of cloakroom-core. What every backend must do is tested by the test kit.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod dictionary;
mod expiry;
mod fault;
mod format;
mod key;
mod owner;
mod redaction;
mod save;
mod sweeping;
