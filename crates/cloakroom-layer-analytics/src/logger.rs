use tracing::Level;

use crate::event::{AnalyticsEvent, Outcome};
use crate::sink::SessionAnalytics;

/// Writes events to `tracing`, under the target `cloakroom::analytics`.
///
/// Each line has the operation, the outcome, `latency_us` in microseconds, and where there is one `payload_bytes`,
/// `session` (the salted hash), `to` (that of the new id), `hit`, `count`, `reason` and `kind`. It holds no key, no id, no
/// scope, no owner and no payload.
///
/// A subscriber that writes to a slow disk or pipe makes requests wait: use a non-blocking writer, or put this behind
/// [`QueuedAnalytics`](crate::QueuedAnalytics).
#[derive(Clone, Copy, Debug)]
pub struct LoggerAnalytics {
    level: Level,
    error_level: Level,
}

impl LoggerAnalytics {
    /// Errors as warnings, everything else at the level `DEBUG`: there is a line for each call.
    #[must_use]
    pub const fn new() -> Self {
        Self { level: Level::DEBUG, error_level: Level::WARN }
    }

    /// The level of everything but errors.
    #[must_use]
    pub const fn with_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// The level of errors.
    #[must_use]
    pub const fn with_error_level(mut self, level: Level) -> Self {
        self.error_level = level;
        self
    }
}

impl Default for LoggerAnalytics {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! log {
    ($level:expr, $event:expr) => {{
        let AnalyticsEvent { operation, outcome, latency, payload, session, .. } = $event;
        tracing::event!(
            target: "cloakroom::analytics",
            $level,
            operation = operation.as_str(),
            outcome = outcome.as_str(),
            latency_us = latency.as_nanos() as f64 / 1e3,
            payload_bytes = payload.map(|bytes| bytes as u64),
            session,
            to = if let Outcome::Rotated { to } = outcome { Some(to) } else { None },
            hit = if let Outcome::Accessed { hit } = outcome { Some(hit) } else { None },
            count = outcome.count(),
            reason = if let Outcome::Deleted { reason, .. } = outcome { Some(reason.as_str()) } else { None },
            kind = if let Outcome::Failed { kind } = outcome { Some(kind.as_str()) } else { None },
        )
    }};
}

impl SessionAnalytics for LoggerAnalytics {
    fn record(&self, event: &AnalyticsEvent) {
        let failed = matches!(event.outcome, Outcome::Failed { .. });
        // A level must be a constant where it is logged.
        match if failed { self.error_level } else { self.level } {
            Level::ERROR => log!(Level::ERROR, event),
            Level::WARN => log!(Level::WARN, event),
            Level::INFO => log!(Level::INFO, event),
            Level::DEBUG => log!(Level::DEBUG, event),
            Level::TRACE => log!(Level::TRACE, event),
        }
    }
}
