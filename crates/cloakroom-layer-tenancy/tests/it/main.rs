//! The integration tests of the tenancy layer.
#![expect(clippy::unwrap_used, reason = "tests")]

mod config;
mod conformance;
mod isolation;
mod limit;
mod registry;
mod site;
