//! The integration tests of the database backend.

mod conformance;
