use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backend::SessionBackend;
use crate::observer::{SessionEvent, SessionObserver, notify};
use crate::record::random_u64;

/// Deletes expired sessions from time to time: every interval, with jitter so that several nodes do not meet, in
/// batches, going on after errors.
///
/// [`run`](Self::run) is a plain future; [`start`](Self::start) spawns it.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Sweeper};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let backend = InMemorySessionBackend::new();
/// let sweeper = Sweeper::new(backend).with_interval(Duration::from_secs(300)).start();
/// // … serve …
/// sweeper.stop().await;
/// # });
/// ```
#[derive(Debug)]
#[must_use]
pub struct Sweeper<B> {
    backend: B,
    interval: Duration,
    jitter: Duration,
    batch: usize,
    observers: Vec<Arc<dyn SessionObserver>>,
}

impl<B: SessionBackend> Sweeper<B> {
    /// Every 5 minutes with up to 30 seconds of jitter, 1,000 at a time.
    pub fn new(backend: B) -> Self {
        Self {
            backend,
            interval: Duration::from_secs(300),
            jitter: Duration::from_secs(30),
            batch: 1000,
            observers: Vec::new(),
        }
    }

    /// The time between two rounds.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Up to that much is added to each interval at random.
    pub fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// How many records one backend call deletes at most; at least 1.
    pub fn with_batch(mut self, records: usize) -> Self {
        self.batch = records.max(1);
        self
    }

    /// Is told of every round that deleted something.
    pub fn with_observer(mut self, observer: impl SessionObserver) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Sweeps for ever. Dropping the future stops it, also within a batch.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(self.pause()).await;
            self.round().await;
        }
    }

    fn pause(&self) -> Duration {
        let jitter = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        let jitter = if jitter == 0 { 0 } else { random_u64() % jitter };
        self.interval.saturating_add(Duration::from_millis(jitter))
    }

    /// One round: batches until nothing expired is left, or an error, which is logged. Says how many went.
    pub async fn round(&self) -> u64 {
        let mut total = 0;
        loop {
            match self.backend.sweep(self.batch).await {
                Ok(swept) => {
                    total += swept;
                    if swept < self.batch as u64 {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(target: "cloakroom", %error, "sweeping failed; the next round tries again");
                    break;
                }
            }
            // Between batches others get their turn, also where the backend never waits.
            tokio::task::yield_now().await;
        }
        if total > 0 {
            notify(&self.observers, SessionEvent::Expired(total));
        }
        total
    }

    /// Spawns it on the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> SweeperTask {
        let (stop, mut stopped) = watch::channel(());
        let task = tokio::spawn(async move {
            // A round that has begun is finished; a stop, or the drop of the task's handle, ends the pause.
            while tokio::time::timeout(self.pause(), stopped.changed()).await.is_err() {
                self.round().await;
            }
        });
        SweeperTask { stop, task }
    }
}

/// A running [`Sweeper`]. Dropping it stops it too.
#[derive(Debug)]
#[must_use]
pub struct SweeperTask {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl SweeperTask {
    /// Stops it and waits until it has.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}
