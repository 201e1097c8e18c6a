//! The integration tests of the replication layer.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod conformance;
mod failover;
mod fault;
mod late;
mod log;
mod operator;
mod option;
mod pair;
mod process;
mod simulation;
