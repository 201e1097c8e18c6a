//! Backends with exactly one defect each, which the suite must reject.

#[macro_use]
mod defect;

mod capability;
mod create;
mod identity;
mod limit;
mod listing;
mod payload;
mod race;
mod read;
mod remove;
mod rotate;
mod touch;
mod update;

pub(crate) use capability::*;
pub(crate) use create::*;
pub(crate) use defect::{Broken, Defect};
pub(crate) use identity::*;
pub(crate) use limit::*;
pub(crate) use listing::*;
pub(crate) use payload::*;
pub(crate) use race::*;
pub(crate) use read::*;
pub(crate) use remove::*;
pub(crate) use rotate::*;
pub(crate) use touch::*;
pub(crate) use update::*;
