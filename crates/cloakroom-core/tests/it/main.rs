//! The integration tests of cloakroom-core. What every backend must do is tested by the test kit.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod dictionary;
mod expiry;
mod fault;
mod feature_event;
mod feature_health;
mod feature_name;
mod feature_record;
mod format;
mod key;
mod owner;
mod redaction;
mod save;
mod sweeping;
