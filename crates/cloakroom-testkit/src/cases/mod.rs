//! The cases of the conformance suite, one public function each. [`CASES`](crate::CASES) lists them.

mod create;
mod identity;
mod limit;
mod payload;
mod read;
mod remove;
mod remove_all;
mod rotate;
mod scan;
mod sweep;
mod time;
mod touch;
mod update;

pub use create::*;
pub use identity::*;
pub use limit::*;
pub use payload::*;
pub use read::*;
pub use remove::*;
pub use remove_all::*;
pub use rotate::*;
pub use scan::*;
pub use sweep::*;
pub use time::*;
pub use touch::*;
pub use update::*;
