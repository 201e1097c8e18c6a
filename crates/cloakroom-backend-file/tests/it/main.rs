//! The integration tests of the file backend.
#![expect(clippy::unwrap_used, reason = "tests")]

mod child;
mod conformance;
mod damage;
mod exchange;
mod fault;
mod folder;
mod kill;
mod place;
mod rotation;
mod shared;
mod tidied;
mod walk;
