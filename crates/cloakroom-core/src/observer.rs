use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::ErrorKind;
use crate::key::SessionId;
use crate::operation::Removal;

/// Something that happened to a session. It names the session by its id, never by its key; log
/// [`id.log_hash()`](SessionId::log_hash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A new session was stored.
    Started(SessionId),
    /// A session was read.
    Loaded(SessionId),
    /// A session was written again.
    Saved(SessionId),
    /// A session moved to another key.
    Rotated {
        /// Its id before.
        from: SessionId,
        /// Its id from now on.
        to: SessionId,
    },
    /// A session ended.
    Deleted(SessionId, Removal),
    /// So many sessions of one owner were ended at once.
    Revoked(u64),
    /// Sessions ended because their time was over, and were deleted.
    Expired(u64),
    /// Something a security log wants to know.
    Security(SecurityEvent),
}

/// Signs of an attack, or of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecurityEvent {
    /// A client sent a well-formed key of no session: an expired or ended one, or a guess.
    UnknownKey(SessionId),
    /// A client sent something that was never a key.
    MalformedKey,
    /// A client used a key that was rotated away.
    RotatedKey(SessionId),
    /// A stored payload or field cannot be decoded.
    Corrupted(SessionId),
    /// Somebody named the key space of another tenant: a key of that session in it, or with `None` a filter.
    ForeignTenant(Option<SessionId>),
    /// A request was for no tenant that there is.
    UnknownTenant,
}

/// Is told what happens to sessions, synchronously. It must not block; what it panics with is logged and dropped, and
/// never keeps an operation from finishing.
///
/// ```
/// use cloakroom_core::{SessionEvent, SessionObserver};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Debug, Default)]
/// struct Started(AtomicU64);
///
/// impl SessionObserver for Started {
///     fn notify(&self, event: &SessionEvent) {
///         if let SessionEvent::Started(_) = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait SessionObserver: Debug + Send + Sync + 'static {
    /// Something happened.
    fn notify(&self, event: &SessionEvent);
}

pub(crate) fn notify(observers: &[std::sync::Arc<dyn SessionObserver>], event: SessionEvent) {
    if let SessionEvent::Security(security) = &event {
        log_security(security);
    }
    for observer in observers {
        if catch_unwind(AssertUnwindSafe(|| observer.notify(&event))).is_err() {
            tracing::error!(target: "cloakroom", "a session observer panicked");
        }
    }
}

fn log_security(event: &SecurityEvent) {
    match event {
        // Every expired cookie ends here: nothing to alarm anybody about.
        SecurityEvent::UnknownKey(id) => {
            tracing::debug!(target: "cloakroom::security", session = id.log_hash(), "unknown session key");
        }
        SecurityEvent::RotatedKey(id) => {
            tracing::info!(target: "cloakroom::security", session = id.log_hash(), "rotated session key");
        }
        // The layer that saw it has logged it, with its own tenant.
        SecurityEvent::ForeignTenant(_) => {}
        SecurityEvent::UnknownTenant => {
            tracing::info!(target: "cloakroom::security", "request for an unknown tenant");
        }
        SecurityEvent::MalformedKey => {
            tracing::info!(target: "cloakroom::security", "malformed session key");
        }
        SecurityEvent::Corrupted(id) => {
            let kind = ErrorKind::Corrupted.as_str();
            tracing::warn!(target: "cloakroom::security", session = id.log_hash(), kind, "session data");
        }
    }
}
