#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod capability;
mod clock;
mod error;
mod key;
mod memory;
mod operation;
mod record;

pub use backend::{BackendLayer, SessionBackend, SessionBackendDyn, SharedBackend};
pub use capability::{Capability, KeyKind};
pub use clock::{Clock, ManualClock, Timestamp};
pub use error::{ErrorKind, Result, SessionError};
pub use key::{IdText, KEY_LENGTH, Scope, SessionId, SessionKey};
pub use memory::{InMemoryBuilder, InMemorySessionBackend, Statistics};
pub use operation::{Cursor, Entry, Filter, Limits, Mode, Page, Removal, Rotate, ScopeFilter, Touch, Write};
pub use record::{Owner, Record, State, Version};
