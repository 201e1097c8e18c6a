//! The integration tests of the facade.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod connect;
mod quick_start;
