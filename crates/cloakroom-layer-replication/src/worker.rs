use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_core::{Result, SessionBackend};
use futures_util::StreamExt;
use futures_util::future::{Either, join, join3, select};
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::backend::Inner;
use crate::error::Failure;
use crate::queue::{Taken, Work};
use crate::regime::Regime;
use crate::status::CopyStatus;

/// Sessions that are brought to the copies at the same time.
const LANES: usize = 16;
/// Whoever wants to wait for ever waits for a year.
const LONGEST_STOP: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest pause between two attempts to let a copy catch up.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The work in the background: the queue, lost copies, and the roles that other processes changed. Made by
/// [`worker`](crate::ReplicatedSessionBackend::worker).
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_layer_replication::{ReplicatedSessionBackend, ReplicationStrategy::AsyncReplication};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let secondary = InMemorySessionBackend::new();
/// let backend =
///     ReplicatedSessionBackend::new(InMemorySessionBackend::new(), secondary.clone(), AsyncReplication);
/// let worker = backend.worker().start();
/// backend.save("greeting", &"hello", Some(60)).await?;
///
/// assert_eq!(worker.stop(Duration::from_secs(5)).await, 0, "nothing is left in the queue");
/// assert_eq!(secondary.load::<String>("greeting").await?.as_deref(), Some("hello"));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[must_use = "it does nothing until it is run or started"]
pub struct ReplicationWorker<P, S>(Arc<Inner<P, S>>);

/// A worker that runs. Dropping it stops it at once.
#[derive(Debug)]
#[must_use = "a dropped worker stops"]
pub struct RunningWorker<P, S> {
    worker: ReplicationWorker<P, S>,
    task: JoinHandle<()>,
}

impl<P, S> fmt::Debug for ReplicationWorker<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicationWorker").finish_non_exhaustive()
    }
}

impl<P: SessionBackend, S: SessionBackend> ReplicationWorker<P, S> {
    pub(crate) const fn new(inner: Arc<Inner<P, S>>) -> Self {
        Self(inner)
    }

    /// Works for ever. Dropping the future stops it; what is in the queue stays there for the next worker.
    pub async fn run(self) {
        let answering = AtomicU64::new(0);
        let inner = &self.0;
        let looking = join(inner.supervise(&answering), inner.stand_in(&answering));
        join3(inner.pump(), looking, inner.restore(&answering)).await;
    }

    /// Spawns it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> RunningWorker<P, S> {
        let worker = Self(Arc::clone(&self.0));
        RunningWorker { worker, task: tokio::spawn(self.run()) }
    }
}

impl<P, S> RunningWorker<P, S> {
    /// Waits until the queue is empty, at most so long, and stops; says how many sessions were left in it. Call it when
    /// nothing writes any more.
    pub async fn stop(self, deadline: Duration) -> usize {
        let deadline = Instant::now() + deadline.min(LONGEST_STOP);
        let left = self.worker.0.queue.drained(deadline).await;
        if left > 0 {
            tracing::warn!(target: "cloakroom::replication", left, "stopped with sessions in the queue");
        }
        left
    }
}

impl<P, S> Drop for RunningWorker<P, S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<P: SessionBackend, S: SessionBackend> Inner<P, S> {
    async fn pump(&self) {
        let mut lanes = FuturesUnordered::new();
        loop {
            if lanes.len() >= LANES {
                lanes.next().await;
                continue;
            }
            let next = std::pin::pin!(self.queue.next());
            let taken = match select(next, lanes.next()).await {
                Either::Left((taken, _)) => taken,
                // No lane is busy: `next` alone.
                Either::Right((None, next)) => next.await,
                Either::Right((Some(()), _)) => continue,
            };
            lanes.push(self.process(taken));
        }
    }

    async fn process(&self, taken: Taken<'_>) {
        let (key, item) = (taken.slot.address(), taken.item.clone());
        let mut again = None;
        match self.roles("replicate").await {
            Err(_) => again = Some(item.work.clone()),
            Ok(regime) => {
                // What was queued for the copies of a former authority is news to the one that decides now.
                let news = self.knowledge.has_moved_since(item.since).then_some(regime.authority);
                for copy in news.into_iter().chain(self.followers(&regime)) {
                    match self.work(&regime, copy, &key, &item.work, item.since).await {
                        Ok(()) => {}
                        Err(Failure::Undecided(_)) => again = Some(Work::Compare(None)),
                        Err(Failure::Copy(_)) if copy == regime.authority => again = Some(item.work.clone()),
                        failed => {
                            if self.counted(&regime, copy, failed).await.is_err() {
                                // Not even that can be noted.
                                again = again.or(Some(item.work.clone()));
                            }
                        }
                    }
                }
            }
        }
        match again {
            None => taken.done(),
            Some(work) => {
                tokio::time::sleep(self.config.poll).await;
                taken.again(work);
            }
        }
    }

    /// Looks after the roles.
    async fn supervise(&self, answering: &AtomicU64) {
        let mut paused: Option<Instant> = None;
        let mut due = Instant::now();
        loop {
            due = Instant::now().max(due + self.config.poll / 2);
            tokio::time::sleep_until(due).await;
            let reached = self.poll().await.unwrap_or_default();
            answering.store(reached, Ordering::Relaxed);
            let Some(regime) = self.knowledge.current().filter(|_| reached != 0) else { continue };
            if regime.moving {
                // Whoever began it may be gone.
                let since = *paused.get_or_insert_with(Instant::now);
                if since.elapsed() > (self.config.poll + self.config.patience).saturating_mul(4) {
                    self.end_move(regime).await;
                }
                continue;
            }
            paused = None;
        }
    }

    /// Lets another copy decide where the authority does not answer. Beside the polls: it takes its time, in which another
    /// process may have done so.
    async fn stand_in(&self, answering: &AtomicU64) {
        loop {
            tokio::time::sleep(self.config.poll).await;
            let reached = answering.load(Ordering::Relaxed);
            if let Some(regime) = self.knowledge.current()
                && reached != 0
                && !regime.moving
                && reached & (1 << regime.authority) == 0
            {
                self.fail_over(regime).await;
            }
        }
    }

    /// Lets copies that answer again catch up, one after the other.
    async fn restore(&self, answering: &AtomicU64) {
        let mut failures = 0;
        loop {
            let pause = self.config.poll.saturating_mul(1 << failures.min(10_u32));
            tokio::time::sleep(pause.min(LONGEST_PAUSE.max(self.config.poll))).await;
            while let Some(slot) = self.doubts.next() {
                if self.queue.push(&slot.address(), Work::Compare(None)).is_err() {
                    self.doubts.note_all(Instant::now());
                }
            }
            let answers = answering.load(Ordering::Relaxed);
            let Some(regime) = self.knowledge.current() else { continue };
            let lost = |copy: &usize| {
                let behind = matches!(regime.status(*copy), CopyStatus::Behind | CopyStatus::CatchingUp);
                behind && answers & (1 << copy) != 0 && answers & (1 << regime.authority) != 0
            };
            let Some(copy) = (0..self.copies()).find(lost) else {
                if self.doubts.take_all() && self.compare_all(&regime).await.is_err() {
                    self.doubts.note_all(Instant::now() + self.config.poll);
                }
                continue;
            };
            let caught_up = self.catch_up(copy).await.is_ok_and(|report| report.undecided == 0);
            failures = if caught_up { 0 } else { failures + 1 };
        }
    }

    async fn compare_all(&self, regime: &Regime) -> Result<()> {
        for copy in self.followers(regime) {
            self.catch_up(copy).await?;
        }
        Ok(())
    }

    /// Brings what waits to one copy, as far as it goes until then.
    pub(crate) async fn drain_to(&self, copy: usize, limit: Duration) {
        let Some(regime) = self.knowledge.current() else { return };
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline
            && let Some(taken) = self.queue.take()
        {
            let (key, work) = (taken.slot.address(), &taken.item.work);
            if self.work(&regime, copy, &key, work, Instant::now()).await.is_err() {
                self.meters.dropped.add();
                self.doubts.note(taken.slot.clone(), deadline);
            }
            taken.done();
        }
    }

    /// Waits until the queue is empty; how many are left.
    pub(crate) async fn drain(&self, limit: Duration) -> usize {
        self.queue.drained(Instant::now() + limit).await
    }
}
