//! The integration tests of the file backend.
#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod place;
