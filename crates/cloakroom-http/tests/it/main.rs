//! The integration tests of cloakroom-http. What they mean over HTTP is tested by the adapters.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod cache;
mod candidate;
mod cookie;
mod engine;
mod split;
mod stale;
mod tenant;
