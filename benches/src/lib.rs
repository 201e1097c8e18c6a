//! A small harness: rounds of all contenders interleaved, time and allocations, ratios beside their bars.
//!
//! On a machine that others use too, absolute times wander. So every round of one contender is followed at once by a
//! round of the next, the best round of each counts, and what is judged is the ratio within one run.

pub mod alloc;
pub mod data;
pub mod run;
pub mod service;
pub mod store;
pub mod table;

pub use run::{Cell, Contender, Measure, Role};
pub use table::{Bar, Report};
