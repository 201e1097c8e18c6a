//! The integration tests of the cookie backend.
#![expect(clippy::unwrap_used, reason = "tests")]

mod codec;
mod conformance;
mod connect;
mod revocation;
mod secrecy;
mod site;
mod split;
mod stale;
mod visit;
