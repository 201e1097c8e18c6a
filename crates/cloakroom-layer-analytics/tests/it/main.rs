//! The integration tests of the analytics layer. They are compiled with Prometheus.
#![cfg(feature = "prometheus")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod cancel;
mod conformance;
mod event;
mod logger;
mod ops;
mod panic;
mod place;
mod prometheus;
mod promql;
mod queue;
