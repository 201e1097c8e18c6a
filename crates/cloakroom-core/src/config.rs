use std::sync::Arc;
use std::time::Duration;

use crate::expiry::Timeouts;
use crate::format::Format;
use crate::observer::{SessionEvent, SessionObserver, notify};

/// What to do when an owner has as many sessions as allowed and starts another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtLimit {
    /// End the one that began first.
    RevokeOldest,
    /// Refuse the new one with `QuotaExceeded`.
    RejectNew,
}

/// When a session moves to a new key by itself, beside where the application says so.
///
/// ```
/// use cloakroom_core::RotationPolicy;
/// use std::time::Duration;
///
/// let policy = RotationPolicy::default().with_every(Duration::from_secs(15 * 60));
/// assert!(policy.on_login && policy.on_privilege_change);
/// assert_eq!(RotationPolicy::never().every, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotationPolicy {
    /// With [`Session::login`](crate::Session::login).
    pub on_login: bool,
    /// With [`Session::change_privileges`](crate::Session::change_privileges).
    pub on_privilege_change: bool,
    /// When a request uses a session whose key is older than that.
    pub every: Option<Duration>,
    /// When a key was used in so many requests. Counting costs one write a request.
    pub after_requests: Option<u64>,
}

impl RotationPolicy {
    /// Only where the application calls `cycle_key` or `prepare_cycle`.
    #[must_use]
    pub const fn never() -> Self {
        Self { on_login: false, on_privilege_change: false, every: None, after_requests: None }
    }

    /// Rotates with the first request after that time.
    #[must_use]
    pub const fn with_every(mut self, every: Duration) -> Self {
        self.every = Some(every);
        self
    }

    /// Rotates with every n-th request.
    #[must_use]
    pub const fn with_after_requests(mut self, requests: u64) -> Self {
        self.after_requests = Some(requests);
        self
    }
}

impl Default for RotationPolicy {
    /// On login and on a change of privileges (ST-13, ST-14).
    fn default() -> Self {
        Self { on_login: true, on_privilege_change: true, ..Self::never() }
    }
}

/// How sessions behave; shared by all sessions of an application.
///
/// ```
/// use cloakroom_core::{AtLimit, SessionConfig, Timeouts};
///
/// let config = SessionConfig::default()
///     .with_timeouts(Timeouts::nist_aal2())
///     .with_owner_limit(5, AtLimit::RevokeOldest);
/// assert_eq!(config.timeouts().idle.map(|idle| idle.as_secs()), Some(3600));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionConfig {
    pub(crate) format: Format,
    pub(crate) timeouts: Timeouts,
    pub(crate) expire_at_browser_close: bool,
    pub(crate) touch_interval: Option<Duration>,
    pub(crate) trail: Duration,
    pub(crate) rotation: RotationPolicy,
    pub(crate) owner_limit: Option<(u64, AtLimit)>,
    pub(crate) retry_budget: Duration,
    pub(crate) degrade: bool,
    pub(crate) observers: Vec<Arc<dyn SessionObserver>>,
}

impl SessionConfig {
    /// The format that sessions are written in (default JSON). Others are still read.
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Idle and absolute timeout (default 1 hour and 24 hours).
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Whether the cookie of a session without an expiry of its own goes with the browser (default yes, ST-42).
    pub fn with_expire_at_browser_close(mut self, goes: bool) -> Self {
        self.expire_at_browser_close = goes;
        self
    }

    /// How much the end of a session must move before a request that only reads extends it in the store. Default: a
    /// tenth of the idle timeout; zero extends at every request.
    pub fn with_touch_interval(mut self, interval: Duration) -> Self {
        self.touch_interval = Some(interval);
        self
    }

    /// How long a rotated key still leads a logout to the session (default 60 s).
    pub fn with_trail(mut self, trail: Duration) -> Self {
        self.trail = trail;
        self
    }

    /// When keys are renewed by themselves.
    pub fn with_rotation(mut self, policy: RotationPolicy) -> Self {
        self.rotation = policy;
        self
    }

    /// How many sessions one owner may have, and what happens at the limit (default: no limit).
    pub fn with_owner_limit(mut self, sessions: u64, at_limit: AtLimit) -> Self {
        self.owner_limit = Some((sessions, at_limit));
        self
    }

    /// How long a save is replayed over conflicts before it gives up with `Conflict` (default 5 s; never fewer than
    /// 16 attempts).
    pub fn with_retry_budget(mut self, budget: Duration) -> Self {
        self.retry_budget = budget;
        self
    }

    /// When the store cannot be reached, goes on with an empty session that is not saved, instead of an error
    /// (default no).
    pub fn with_degraded_sessions(mut self, degrade: bool) -> Self {
        self.degrade = degrade;
        self
    }

    /// Adds an observer.
    pub fn with_observer(mut self, observer: impl SessionObserver) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Idle and absolute timeout.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// When keys are renewed by themselves.
    #[must_use]
    pub fn rotation(&self) -> RotationPolicy {
        self.rotation
    }

    /// Tells the observers. For middleware that sees what a session cannot.
    pub fn notify(&self, event: SessionEvent) {
        notify(&self.observers, event);
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            format: Format::default(),
            timeouts: Timeouts::default(),
            expire_at_browser_close: true,
            touch_interval: None,
            trail: Duration::from_secs(60),
            rotation: RotationPolicy::default(),
            owner_limit: None,
            retry_budget: Duration::from_secs(5),
            degrade: false,
            observers: Vec::new(),
        }
    }
}
