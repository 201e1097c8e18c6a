//! Layers on the backends they are used with.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod analytics;
mod compression;
mod encryption;
mod place;
mod replication;
mod stack;
mod tenancy;
