#![doc = include_str!("../README.md")]

pub mod cases;
mod operation;
mod service;
mod subject;
mod suite;
mod table;

pub use cloakroom_core as core;
pub use operation::Operation;
pub use service::{missing_service, service};
pub use subject::Subject;
pub use suite::{Case, Need, case, full, run, run_optional};
pub use table::CASES;
