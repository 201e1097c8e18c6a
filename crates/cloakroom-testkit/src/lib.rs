#![doc = include_str!("../README.md")]

pub mod cases;
mod faulty;
mod model;
mod operation;
mod race;
mod service;
mod spy;
mod subject;
mod suite;
mod table;

pub use cloakroom_core as core;
pub use faulty::{Fault, Faulty, Gate};
pub use operation::Operation;
pub use service::{missing_service, service};
pub use spy::{Call, Calls, Spy};
pub use subject::Subject;
pub use suite::{Case, Need, case, full, run, run_optional};
pub use table::CASES;
