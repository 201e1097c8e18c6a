use std::time::Duration;

/// No poll and no patience is longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// When the caller of a write hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReplicationStrategy {
    /// When the primary has it. The secondaries follow through a bounded queue; run the
    /// [worker](crate::ReplicatedSessionBackend::worker). What the queue holds is lost with the process, and counted.
    AsyncReplication,
    /// When all copies have it, which are asked at once: as slow as the slowest.
    SyncReplication,
    /// When the primary has it and then all others: as slow as all together, and a secondary never sees what the
    /// primary refuses.
    AcknowledgedReplication,
}

/// What a write does when the queue of [`AsyncReplication`](ReplicationStrategy::AsyncReplication) is full. The
/// primary has the write already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueueFull {
    /// Waits for room, for as long as the [patience](ReplicationConfig::with_patience) lasts; then it is dropped as
    /// below.
    #[default]
    Wait,
    /// Goes on without: the drop is counted and logged, and the secondaries count as behind until they caught up.
    Drop,
    /// Brings it to the secondaries itself, as if the strategy were acknowledged.
    Degrade,
}

/// What happens when the copy that decides does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failover {
    /// Writes are `Unavailable`; reads go to the copies that are not behind.
    #[default]
    Refuse,
    /// After the [retries](ReplicationConfig::with_retries) the next copy that is not behind decides from then on. Only a
    /// process that runs the worker does it, as others do not hear in time who is behind.
    Promote,
}

/// What a sync or acknowledged write does when a secondary cannot take it, after the retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecondaryDown {
    /// Marks the secondary as behind and goes on. It is neither read nor promoted until it caught up.
    #[default]
    Continue,
    /// Refuses with `Unavailable`, though the primary has the write: its outcome is unknown to the caller.
    Refuse,
}

/// Settings of replication.
///
/// ```
/// use cloakroom_layer_replication::{Failover, ReplicationConfig};
/// use std::time::Duration;
///
/// let config = ReplicationConfig::new()
///     .with_retries(5, Duration::from_millis(50))
///     .with_queue_capacity(10_000)
///     .with_failover(Failover::Promote);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ReplicationConfig {
    pub(crate) attempts: u32,
    pub(crate) delay: Duration,
    pub(crate) queue_capacity: usize,
    pub(crate) queue_full: QueueFull,
    pub(crate) read_on_miss: bool,
    pub(crate) failover: Failover,
    pub(crate) secondary_down: SecondaryDown,
    pub(crate) marker_lifetime: Duration,
    pub(crate) poll: Duration,
    pub(crate) patience: Duration,
}

impl ReplicationConfig {
    /// Three attempts 100 ms apart, a queue of 1,000 that makes writers wait, no reads on a miss, no fail-over,
    /// markers of a day, a poll each second, five seconds of patience.
    pub const fn new() -> Self {
        Self {
            attempts: 3,
            delay: Duration::from_millis(100),
            queue_capacity: 1000,
            queue_full: QueueFull::Wait,
            read_on_miss: false,
            failover: Failover::Refuse,
            secondary_down: SecondaryDown::Continue,
            marker_lifetime: Duration::from_secs(24 * 3600),
            poll: Duration::from_secs(1),
            patience: Duration::from_secs(5),
        }
    }

    /// How often a copy that does not answer is tried, at least once, and the pause before the second attempt; each
    /// further pause is twice the last one, up to a second. Holds for writes to secondaries, and for the question
    /// whether the authority is really away before another takes its place.
    pub const fn with_retries(mut self, attempts: u32, delay: Duration) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self.delay = delay;
        self
    }

    /// How many sessions may wait in the queue, at least one. Several writes of one session take one place.
    pub const fn with_queue_capacity(mut self, sessions: usize) -> Self {
        self.queue_capacity = if sessions == 0 { 1 } else { sessions };
        self
    }

    /// What happens when the queue is full.
    pub const fn with_queue_full(mut self, policy: QueueFull) -> Self {
        self.queue_full = policy;
        self
    }

    /// Asks the secondaries for what the primary does not have, one call each, and stores it there: for copies that forget, or
    /// a primary that lost records. What has a marker is never brought back, so rotations leave one even without a trail.
    pub const fn with_read_on_miss(mut self, yes: bool) -> Self {
        self.read_on_miss = yes;
        self
    }

    /// What happens when the copy that decides does not answer. All processes must agree on it.
    pub const fn with_failover(mut self, policy: Failover) -> Self {
        self.failover = policy;
        self
    }

    /// What happens when a secondary cannot take a write.
    pub const fn with_secondary_down(mut self, policy: SecondaryDown) -> Self {
        self.secondary_down = policy;
        self
    }

    /// How long a tombstone stays after the end that its session would have had; for sessions without an end, from the
    /// removal on. Longer than any outage, or `reconcile` asks for `resync`.
    pub const fn with_marker_lifetime(mut self, lifetime: Duration) -> Self {
        self.marker_lifetime = lifetime;
        self
    }

    /// How often the worker looks whether copies came back or another process changed who decides; twice in each, and an
    /// answer that takes longer than half of it does not count. For twice as long another process may still read from the former
    /// authority. The same in all processes; from 10 ms to an hour.
    pub const fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll = bounded(interval, Duration::from_millis(10));
        self
    }

    /// How long a write tries to make the copies agree before it is `Unavailable`, and how long it may take at all to be
    /// reported as done. The same in all processes; from 100 ms to an hour.
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = bounded(patience, Duration::from_millis(100));
        self
    }

    /// The pause after that many failed attempts.
    pub(crate) fn pause(&self, failed: u32) -> Duration {
        self.delay
            .saturating_mul(1 << failed.saturating_sub(1).min(16))
            .min(Duration::from_secs(1).max(self.delay))
    }
}

/// From the least to the [longest](LONGEST).
const fn bounded(time: Duration, least: Duration) -> Duration {
    match time.as_nanos() {
        nanos if nanos < least.as_nanos() => least,
        nanos if nanos > LONGEST.as_nanos() => LONGEST,
        _ => time,
    }
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self::new()
    }
}
