#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!("cloakroom-backend-file needs the locks and permissions of a Unix system");

mod backend;
mod budget;
mod builder;
mod damage;
mod error;
mod file;
mod folder;
mod header;
mod lock;
mod path;
mod store;
mod walk;

pub use backend::{FileSessionBackend, Statistics};
pub use builder::FileBuilder;
pub use store::Durability;

/// For fuzz tests; not part of what stays the same between versions.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::header::parse_header;
}
