//! The integration tests of the database backend.

mod conformance;
#[cfg(feature = "postgres")]
mod custom;
mod place;
mod watched;
