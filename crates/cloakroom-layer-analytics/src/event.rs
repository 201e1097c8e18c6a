use std::time::Duration;

use cloakroom_core::{ErrorKind, Removal, Scope};

/// An operation of [`SessionBackend`](cloakroom_core::SessionBackend).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `read`
    Read,
    /// `write`
    Write,
    /// `rotate`
    Rotate,
    /// `touch`
    Touch,
    /// `remove`
    Remove,
    /// `scan`
    Scan,
    /// `count`
    Count,
    /// `remove_all`
    RemoveAll,
    /// `sweep`
    Sweep,
}

impl Operation {
    /// The name of the method, as in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Rotate => "rotate",
            Self::Touch => "touch",
            Self::Remove => "remove",
            Self::Scan => "scan",
            Self::Count => "count",
            Self::RemoveAll => "remove_all",
            Self::Sweep => "sweep",
        }
    }
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// `write` in mode `Create` stored a new session.
    Created,
    /// `read` answered. Without a hit there was nothing, or only the marker of a session that moved or ended.
    Accessed {
        /// Whether a live session was there.
        hit: bool,
    },
    /// `write` in mode `Update` stored a session again.
    Saved,
    /// `write` in mode `Overwrite` or `Newer` put a session there. The backend does not tell whether one was there
    /// before, nor, for `Newer`, whether the same was. `Session` uses neither; values by name, copies and migrations do.
    Stored,
    /// `write` put a marker there instead of a session: a tombstone or a trail.
    Marked,
    /// `touch` moved a session's end; or found another version and left it, which the backend does not tell apart.
    Touched,
    /// `rotate` moved a session to another key.
    Rotated {
        /// The new id as a salted hash, as [`AnalyticsEvent::session`].
        to: u64,
    },
    /// Somebody else wrote first. Not an error: a `Session` replays its changes.
    Conflicted,
    /// `write`, `rotate` or `touch` found that the session has ended. Not an error: it stays ended.
    Gone,
    /// `remove` or `remove_all` ended so many sessions.
    Deleted {
        /// Why.
        reason: Removal,
        /// How many; 0 when there was none.
        count: u64,
    },
    /// `sweep` deleted so many records whose time was over: sessions, and markers, which it does not tell apart.
    Expired {
        /// How many.
        count: u64,
    },
    /// `scan` listed a page.
    Listed {
        /// Sessions on the page.
        count: u64,
    },
    /// `count` counted.
    Counted {
        /// Live sessions that matched.
        count: u64,
    },
    /// An error, other than a conflict or a session that has ended.
    Failed {
        /// Its kind.
        kind: ErrorKind,
    },
    /// The caller dropped the future before there was an answer, as happens when a client goes away or a panic passes.
    /// What the backend did is not known.
    Cancelled,
}

impl Outcome {
    /// The name used in logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Accessed { .. } => "accessed",
            Self::Saved => "saved",
            Self::Stored => "stored",
            Self::Marked => "marked",
            Self::Touched => "touched",
            Self::Rotated { .. } => "rotated",
            Self::Conflicted => "conflicted",
            Self::Gone => "gone",
            Self::Deleted { .. } => "deleted",
            Self::Expired { .. } => "expired",
            Self::Listed { .. } => "listed",
            Self::Counted { .. } => "counted",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// How many sessions were deleted, expired, listed or counted.
    #[must_use]
    pub const fn count(&self) -> Option<u64> {
        match self {
            Self::Deleted { count, .. }
            | Self::Expired { count }
            | Self::Listed { count }
            | Self::Counted { count } => Some(*count),
            _ => None,
        }
    }
}

/// One call of a backend, after it was answered. It holds no key, no id, no owner and no payload.
///
/// ```
/// use cloakroom_layer_analytics::{AnalyticsEvent, Operation, Outcome};
/// use std::time::Duration;
///
/// // For tests of your own sinks:
/// let event = AnalyticsEvent::new(Operation::Read, Outcome::Accessed { hit: true }, Duration::from_micros(40))
///     .with_payload(460);
/// assert_eq!(event.payload, Some(460));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnalyticsEvent {
    /// What was called.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
    /// From the first poll to the answer, on the monotonic clock, in nanoseconds as the system has them.
    pub latency: Duration,
    /// Bytes of the payload that was read or was to be written, as they pass this layer: outside compression it is the
    /// session's size, inside that of what is stored.
    pub payload: Option<usize>,
    /// The session's id as a hash with a salt of this process, for operations on one session. See
    /// [`SessionId::log_hash`](cloakroom_core::SessionId::log_hash).
    pub session: Option<u64>,
    /// The key space that the call was about, where it was one. Tenants are told apart by it.
    pub scope: Option<Scope>,
}

impl AnalyticsEvent {
    /// An event without payload, session and scope.
    #[must_use]
    pub const fn new(operation: Operation, outcome: Outcome, latency: Duration) -> Self {
        Self { operation, outcome, latency, payload: None, session: None, scope: None }
    }

    /// Sets the payload's size in bytes.
    #[must_use]
    pub const fn with_payload(mut self, bytes: usize) -> Self {
        self.payload = Some(bytes);
        self
    }

    /// Sets the hash of the id.
    #[must_use]
    pub const fn with_session(mut self, hash: u64) -> Self {
        self.session = Some(hash);
        self
    }

    /// Sets the scope.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }
}
