use std::fmt;
use std::sync::Arc;

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, KeyKind, Page, Record, Removal, Result, Rotate, Scope,
    ScopeFilter, SessionBackend, SessionError, SessionKey, Timestamp, Touch, Version, Write,
};

use crate::doubt::Doubts;
use crate::error::NAME;
use crate::finish::{Finish, Left};
use crate::knowledge::Knowledge;
use crate::queue::{Queue, Slot};
use crate::regime::{MOST_COPIES, Turn, control, is_control};
use crate::replica::Replica;
use crate::status::{Meters, ReplicationStatus};
use crate::strategy::ReplicationStrategy::AsyncReplication;
use crate::strategy::{ReplicationConfig, ReplicationStrategy};
use crate::worker::ReplicationWorker;

const GATES: usize = 64;
/// What was put where: session, copy and epoch, and the version of the authority's record.
type LastRepair = Option<((Slot, usize, u64), Version)>;

/// Sessions on several copies. See the [crate's page](crate) for what each operation does.
pub struct ReplicatedSessionBackend<P, S = P>(pub(crate) Arc<Inner<P, S>>);

pub(crate) struct Inner<P, S> {
    pub(crate) primary: P,
    pub(crate) secondaries: Vec<S>,
    pub(crate) strategy: ReplicationStrategy,
    pub(crate) config: ReplicationConfig,
    capability: Capability,
    invalid: Option<&'static str>,
    pub(crate) control: SessionKey,
    pub(crate) knowledge: Knowledge,
    pub(crate) first_look: tokio::sync::OnceCell<()>,
    pub(crate) turn: Turn,
    pub(crate) queue: Queue,
    pub(crate) meters: Meters,
    /// Repairs of one session take turns, on one of several, by the id.
    gates: [tokio::sync::Mutex<LastRepair>; GATES],
    pub(crate) doubts: Doubts,
}

impl<P, S> Clone for ReplicatedSessionBackend<P, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: fmt::Debug, S: fmt::Debug> fmt::Debug for ReplicatedSessionBackend<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicatedSessionBackend")
            .field("primary", &self.0.primary)
            .field("secondaries", &self.0.secondaries)
            .field("strategy", &self.0.strategy)
            .finish_non_exhaustive()
    }
}

impl<P: SessionBackend, S: SessionBackend> ReplicatedSessionBackend<P, S> {
    /// A primary and one secondary, with the usual [settings](ReplicationConfig::new).
    ///
    /// Nothing runs in the background until the [worker](Self::worker) does, and async needs it. Unless all copies are
    /// stores that compare versions, every operation is `InvalidConfig`.
    #[must_use]
    pub fn new(primary: P, secondary: S, strategy: ReplicationStrategy) -> Self {
        Self::with_config(primary, vec![secondary], strategy, ReplicationConfig::new())
    }

    /// The same with any number of secondaries up to 63, and settings. To mix kinds of secondaries, make them
    /// [shared](cloakroom_core::SessionBackendExt::shared).
    #[must_use]
    pub fn with_config(
        primary: P,
        secondaries: Vec<S>,
        strategy: ReplicationStrategy,
        config: ReplicationConfig,
    ) -> Self {
        let mut inner = Inner {
            capability: primary.capability(),
            knowledge: Knowledge::none(1 + secondaries.len()),
            primary,
            secondaries,
            strategy,
            invalid: None,
            control: control(),
            first_look: tokio::sync::OnceCell::new(),
            turn: Turn::default(),
            queue: Queue::new(config.queue_capacity),
            meters: Meters::default(),
            gates: [const { tokio::sync::Mutex::const_new(None) }; GATES],
            doubts: Doubts::default(),
            config,
        };
        inner.capability = inner.common_capability();
        inner.invalid = inner.complaint();
        Self(Arc::new(inner))
    }

    /// The copy that is asked first.
    #[must_use]
    pub fn primary(&self) -> &P {
        &self.0.primary
    }

    /// The others, in the order in which they would take its place.
    #[must_use]
    pub fn secondaries(&self) -> &[S] {
        &self.0.secondaries
    }

    /// When callers hear of a write.
    #[must_use]
    pub fn strategy(&self) -> ReplicationStrategy {
        self.0.strategy
    }

    /// How the copies stand and what was done.
    #[must_use]
    pub fn status(&self) -> ReplicationStatus {
        let Inner { knowledge, meters, queue, .. } = &*self.0;
        let regime = knowledge.current();
        let copies = regime
            .map_or_else(Vec::new, |regime| (0..self.0.copies()).map(|copy| regime.status(copy)).collect());
        ReplicationStatus {
            epoch: regime.map_or(0, |regime| regime.epoch),
            copies,
            in_doubt: knowledge.is_in_doubt(),
            queued: queue.len(),
            unsettled: self.0.doubts.len(),
            lag: queue.lag(),
            dropped: meters.dropped.count(),
            retries: meters.retries.count(),
            repairs: meters.repairs.count(),
            failover_reads: meters.failover_reads.count(),
            recovered: meters.recovered.count(),
            undecided: meters.undecided.count(),
            lost_copies: meters.lost_copies.count(),
            caught_up: meters.caught_up.count(),
            promotions: meters.promotions.count(),
        }
    }

    /// The worker, which does nothing until it is [run](ReplicationWorker::run) or
    /// [started](ReplicationWorker::start): it empties the queue, looks for copies that came back, and compares them.
    pub fn worker(&self) -> ReplicationWorker<P, S> {
        ReplicationWorker::new(Arc::clone(&self.0))
    }
}

impl<P: SessionBackend, S: SessionBackend> Inner<P, S> {
    pub(crate) fn copies(&self) -> usize {
        1 + self.secondaries.len()
    }

    pub(crate) fn replica(&self, copy: usize) -> Replica<'_, P, S> {
        match copy.checked_sub(1).and_then(|index| self.secondaries.get(index)) {
            Some(secondary) => Replica::Secondary(secondary),
            None => Replica::Primary(&self.primary),
        }
    }

    /// Whether the sessions are safe with it alone. Where one copy keeps them, one that forgets does not decide.
    pub(crate) fn may_decide(&self, copy: usize) -> bool {
        !self.primary.capability().durable || self.replica(copy).capability().durable
    }

    pub(crate) fn gate(&self, key: &SessionKey) -> &tokio::sync::Mutex<LastRepair> {
        let [first, ..] = *key.id().as_bytes();
        &self.gates[usize::from(first) % GATES]
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.primary.clock().now()
    }

    fn complaint(&self) -> Option<&'static str> {
        let can = |capability: &Capability| {
            capability.key_kind == KeyKind::Secret && capability.versioned && capability.revocable
        };
        if self.copies() > MOST_COPIES {
            return Some("too many copies");
        }
        let all_can = can(&self.capability) && self.secondaries.iter().all(|other| can(&other.capability()));
        if !all_can {
            return Some("every copy must be a store that compares versions and removes sessions");
        }
        let secondaries = self.secondaries.iter().map(SessionBackend::capability);
        if !self.capability.durable && secondaries.into_iter().any(|other| other.durable) {
            return Some(
                "a primary that forgets beside a copy that does not: the durable one must be the primary",
            );
        }
        // All copies': the record of who decides has a scope of its own.
        (!self.capability.scopes).then_some("a copy has all its sessions in one scope: tenancy goes outside")
    }

    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        let Some(complaint) = self.invalid else { return Ok(()) };
        Err(SessionError::new(ErrorKind::InvalidConfig, operation).with_backend(NAME).with_message(complaint))
    }

    fn check_write(&self, operation: &'static str, key: &SessionKey, record: &Record) -> Result<()> {
        self.check(operation)?;
        self.check_scope(operation, key.scope())?;
        if record.payload.len() > self.capability.max_payload {
            return Err(SessionError::new(ErrorKind::TooLarge, operation).with_backend(NAME));
        }
        Ok(())
    }

    fn check_scope(&self, operation: &'static str, scope: Option<&Scope>) -> Result<()> {
        if is_control(scope) {
            let error = SessionError::new(ErrorKind::InvalidKey, operation).with_backend(NAME);
            return Err(error.with_message("the scope is reserved"));
        }
        Ok(())
    }

    pub(crate) async fn count_on(&self, copy: usize, filter: &Filter) -> Result<u64> {
        let count = self.replica(copy).count(filter).await?;
        // The control record has a scope, and no owner.
        if filter.scope != ScopeFilter::Any || filter.owner.is_some() {
            return Ok(count);
        }
        let mut ours = filter.clone();
        ours.scope = ScopeFilter::from(self.control.scope());
        Ok(count.saturating_sub(self.replica(copy).count(&ours).await?))
    }
}

impl<P: SessionBackend, S: SessionBackend> SessionBackend for ReplicatedSessionBackend<P, S> {
    fn capability(&self) -> Capability {
        self.0.capability.clone()
    }

    fn clock(&self) -> &Clock {
        self.0.primary.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        let mut primary = None;
        if self.0.invalid.is_none() && self.0.knowledge.is_primary() {
            match self.0.primary.read(key).await {
                Ok(None) if self.0.config.read_on_miss => primary = Some(Ok(None)),
                Err(error) if error.kind() == ErrorKind::Unavailable => primary = Some(Err(error)),
                read => return read,
            }
        }
        self.0.check("read")?;
        Box::pin(self.0.read_elsewhere(key, primary)).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.0.check_write("write", key, &record)?;
        if self.0.strategy == AsyncReplication {
            self.0.write(key, record, how).await?;
        } else {
            let (inner, key) = (Arc::clone(&self.0), key.clone());
            Finish::new(async move { inner.write(&key, record, how).await }).await?;
        }
        Ok(key.unscoped())
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.0.check_write("rotate", new, &record)?;
        let (inner, from, to) = (Arc::clone(&self.0), old.clone(), new.clone());
        Finish::new(async move { inner.rotate(&from, &to, record, how).await }).await?;
        Ok(new.unscoped())
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.0.check("touch")?;
        self.0.check_scope("touch", key.scope())?;
        Ok(self.0.touch(key, how).await?.then(|| key.unscoped()))
    }

    async fn remove(&self, key: &SessionKey, _reason: Removal) -> Result<bool> {
        self.0.check("remove")?;
        self.0.check_scope("remove", key.scope())?;
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        Finish::new(async move { inner.end(&key, None).await }).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.0.check("scan")?;
        let regime = self.0.roles("scan").await?;
        let mut page = self.0.replica(regime.authority).scan(filter, after, limit).await?;
        page.entries.retain(|entry| !is_control(entry.scope.as_ref()));
        Ok(page)
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.0.check("count")?;
        let regime = self.0.roles("count").await?;
        self.0.count_on(regime.authority, filter).await
    }

    async fn remove_all(&self, filter: &Filter, _reason: Removal) -> Result<u64> {
        self.0.check("remove all")?;
        let (inner, filter, left) = (Arc::clone(&self.0), filter.clone(), Left::default());
        Finish::telling(left.clone(), async move { inner.remove_all(&filter, &left).await }).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.0.check("sweep")?;
        let regime = self.0.regime("sweep").await?;
        let swept = self.0.replica(regime.authority).sweep(limit).await?;
        for copy in self.0.followers(&regime) {
            // A copy that cannot is swept another time.
            drop(self.0.replica(copy).sweep(limit).await);
        }
        Ok(swept)
    }
}
