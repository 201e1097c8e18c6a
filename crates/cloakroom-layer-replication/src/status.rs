use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CopyStatus {
    /// It decides.
    Authority,
    /// It has everything that was reported as done (with async: but for what is queued).
    InSync,
    /// It gets what is written and is compared with the authority.
    CatchingUp,
    /// It missed writes.
    Behind,
}

/// What replication has done since the backend was made, and how it stands. Holds no key and no payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicationStatus {
    /// Later with every change of the roles; 0 = never.
    pub epoch: u64,
    /// The primary, then the secondaries. Empty until the first operation has read who decides.
    pub copies: Vec<CopyStatus>,
    /// Nothing is read or written, because a copy is away that may be the one that decides, or the one that decides was
    /// emptied. [`promote`](crate::ReplicatedSessionBackend::promote) says which one decides.
    pub in_doubt: bool,
    /// Sessions that wait for the worker.
    pub queued: usize,
    /// Sessions whose last write has an unknown outcome: a store may execute it yet, so they are compared once more when it
    /// has, or never will. A process that is killed before leaves that to
    /// [`reconcile`](crate::ReplicatedSessionBackend::reconcile).
    pub unsettled: usize,
    /// How long the first that is queued has waited.
    pub lag: Duration,
    /// Writes that found the queue full and were left to a comparison.
    pub dropped: u64,
    /// Repeated attempts to bring something to a copy.
    pub retries: u64,
    /// Records of copies that were replaced because they differed from the authority's.
    pub repairs: u64,
    /// Reads that a copy answered while the authority did not.
    pub failover_reads: u64,
    /// Records that were read from a copy because the authority had none.
    pub recovered: u64,
    /// Writes that could not be brought to agreement within the patience.
    pub undecided: u64,
    /// Times a copy was marked as behind.
    pub lost_copies: u64,
    /// Times a copy caught up.
    pub caught_up: u64,
    /// Times this process made another copy decide.
    pub promotions: u64,
}

/// Counters; they wrap.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) dropped: Meter,
    pub(crate) retries: Meter,
    pub(crate) repairs: Meter,
    pub(crate) failover_reads: Meter,
    pub(crate) recovered: Meter,
    pub(crate) undecided: Meter,
    pub(crate) lost_copies: Meter,
    pub(crate) caught_up: Meter,
    pub(crate) promotions: Meter,
}

#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicU64);

impl Meter {
    pub(crate) fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
