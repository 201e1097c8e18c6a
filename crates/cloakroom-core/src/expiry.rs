use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::clock::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// When sessions end: after a time without activity, and after a time whatever happens.
///
/// ```
/// use cloakroom_core::Timeouts;
/// use std::time::Duration;
///
/// assert_eq!(Timeouts::default().idle, Some(Duration::from_secs(3600)));
/// assert_eq!(Timeouts::nist_aal3().absolute, Some(Duration::from_secs(12 * 3600)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Longest time between two uses.
    pub idle: Option<Duration>,
    /// Longest time since the session began, or since the user last proved who they are. Renewing the key does not
    /// extend it.
    pub absolute: Option<Duration>,
}

impl Timeouts {
    /// Both limits, in whole seconds; `None` = no such limit.
    #[must_use]
    pub const fn new(idle: Option<Duration>, absolute: Option<Duration>) -> Self {
        Self { idle, absolute }
    }

    const fn seconds(idle: u64, absolute: u64) -> Self {
        Self::new(Some(Duration::from_secs(idle)), Some(Duration::from_secs(absolute)))
    }

    /// NIST SP 800-63B-4, assurance level 1: 30 days in all (ST-32).
    #[must_use]
    pub const fn nist_aal1() -> Self {
        Self::new(None, Some(Duration::from_secs(30 * DAY)))
    }

    /// NIST SP 800-63B-4, assurance level 2: 1 hour idle, 24 hours in all (ST-33).
    #[must_use]
    pub const fn nist_aal2() -> Self {
        Self::seconds(HOUR, DAY)
    }

    /// NIST SP 800-63B-4, assurance level 3: 15 minutes idle, 12 hours in all (ST-34).
    #[must_use]
    pub const fn nist_aal3() -> Self {
        Self::seconds(15 * MINUTE, 12 * HOUR)
    }

    /// OWASP, high-value application: 5 minutes idle (ST-29), 4 hours in all.
    #[must_use]
    pub const fn owasp_high_value() -> Self {
        Self::seconds(5 * MINUTE, 4 * HOUR)
    }

    /// OWASP, low-risk application: 30 minutes idle (ST-30), 8 hours in all.
    #[must_use]
    pub const fn owasp_low_risk() -> Self {
        Self::seconds(30 * MINUTE, 8 * HOUR)
    }

    /// OWASP, an office day: 1 hour idle, 8 hours in all (ST-31).
    #[must_use]
    pub const fn owasp_office_day() -> Self {
        Self::seconds(HOUR, 8 * HOUR)
    }
}

impl Default for Timeouts {
    /// 1 hour idle, 24 hours in all.
    fn default() -> Self {
        Self::nist_aal2()
    }
}

/// The lifetime of one session, where it differs from the configured one. It is stored with the session.
///
/// Made from what Django's `set_expiry` takes: nothing (the configured default), `0` (until the browser closes), a
/// number of seconds or a `Duration` (idle time), or a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// As configured.
    #[default]
    Default,
    /// As configured, and the cookie goes with the browser.
    BrowserClose,
    /// That long without activity.
    Idle(Duration),
    /// At that moment.
    At(Timestamp),
    /// "Remember me": that long in all, in place of the configured limits.
    Remember(Duration),
}

impl Expiry {
    pub(crate) fn to_value(self) -> Option<Value> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Default => None,
            Self::BrowserClose => Some(json!({ "browser": true })),
            Self::Idle(idle) => Some(json!({ "idle": millis(idle) })),
            Self::At(at) => Some(json!({ "at": at.as_millis() })),
            Self::Remember(total) => Some(json!({ "remember": millis(total) })),
        }
    }

    pub(crate) fn from_value(value: &Value) -> Self {
        let millis = |member: &str| value.get(member)?.as_u64().map(Duration::from_millis);
        if let Some(idle) = millis("idle") {
            return Self::Idle(idle);
        }
        if let Some(total) = millis("remember") {
            return Self::Remember(total);
        }
        if let Some(at) = value.get("at").and_then(Value::as_i64) {
            return Self::At(Timestamp::from_millis(at));
        }
        if value.get("browser").is_some() { Self::BrowserClose } else { Self::Default }
    }

    /// When a session used `now` ends, whose absolute time counts from `since`.
    pub(crate) fn ends(self, timeouts: Timeouts, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        // A clock that stepped back must not add to a lifetime.
        let limit = |absolute: Option<Duration>| absolute.map(|absolute| since.min(now) + absolute);
        let absolute = limit(timeouts.absolute);
        let wanted = match self {
            Self::Default | Self::BrowserClose => timeouts.idle.map(|idle| now + idle),
            Self::Idle(idle) => Some(now + idle),
            Self::At(at) => Some(at),
            Self::Remember(total) => return limit(Some(total)),
        };
        match (wanted, absolute) {
            (Some(wanted), Some(absolute)) => Some(wanted.min(absolute)),
            (one, other) => one.or(other),
        }
    }
}

impl From<u64> for Expiry {
    fn from(seconds: u64) -> Self {
        if seconds == 0 { Self::BrowserClose } else { Self::Idle(Duration::from_secs(seconds)) }
    }
}

impl From<Duration> for Expiry {
    fn from(idle: Duration) -> Self {
        Self::Idle(idle)
    }
}

impl From<Option<Duration>> for Expiry {
    fn from(idle: Option<Duration>) -> Self {
        idle.map_or(Self::Default, Self::Idle)
    }
}

impl From<SystemTime> for Expiry {
    fn from(at: SystemTime) -> Self {
        Self::At(at.into())
    }
}

impl From<Timestamp> for Expiry {
    fn from(at: Timestamp) -> Self {
        Self::At(at)
    }
}
