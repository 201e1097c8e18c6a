//! Layers on the backends they are used with.
#![expect(clippy::unwrap_used, reason = "tests")]

mod compression;
mod encryption;
mod place;
mod replication;
