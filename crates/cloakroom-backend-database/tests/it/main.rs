//! The integration tests of the database backend. They are compiled with all drivers.
#![cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod content;
mod custom;
mod outage;
mod place;
mod proxy;
mod schema;
mod sqlite;
mod watched;
