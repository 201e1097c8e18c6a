//! The cases of the conformance suite, one public function each. [`CASES`](crate::CASES) lists them.

mod cancel;
mod create;
mod identity;
mod limit;
mod model;
mod payload;
mod race;
mod race_revoke;
mod read;
mod remove;
mod remove_all;
mod rotate;
mod scan;
mod session;
mod sweep;
mod time;
mod touch;
mod update;

pub use cancel::*;
pub use create::*;
pub use identity::*;
pub use limit::*;
pub use model::*;
pub use payload::*;
pub use race::*;
pub use race_revoke::*;
pub use read::*;
pub use remove::*;
pub use remove_all::*;
pub use rotate::*;
pub use scan::*;
pub use session::*;
pub use sweep::*;
pub use time::*;
pub use touch::*;
pub use update::*;
