#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod capability;
mod clock;
mod config;
mod entropy;
mod error;
mod expiry;
mod ext;
#[cfg(feature = "axum")]
mod extract;
mod field;
mod format;
mod key;
mod memory;
mod observer;
mod operation;
mod record;
mod session;
mod session_manager;
mod sweeper;

pub use backend::{BackendLayer, SessionBackend, SessionBackendDyn, SharedBackend};
pub use capability::{Capability, KeyKind};
pub use clock::{Clock, ManualClock, Timestamp};
pub use config::{AtLimit, RotationPolicy, SessionConfig};
pub use error::{ErrorKind, Result, SessionError};
pub use expiry::{Expiry, Timeouts};
pub use ext::{SessionBackendExt, StoredSession};
#[cfg(feature = "axum")]
pub use extract::SessionRejection;
pub use field::{Field, TypedSession};
pub use format::Format;
pub use key::{IdText, KEY_LENGTH, Scope, SessionId, SessionKey};
pub use memory::{InMemoryBuilder, InMemorySessionBackend, Statistics};
pub use observer::{SecurityEvent, SessionEvent, SessionObserver};
pub use operation::{Cursor, Entry, Filter, Limits, Mode, Page, Removal, Rotate, ScopeFilter, Touch, Write};
pub use record::{Owner, Record, State, Version};
pub use session::{Device, KeyChange, Session, SessionHandle, SessionInfo};
pub use session_manager::SessionManager;
pub use sweeper::{Sweeper, SweeperTask};
