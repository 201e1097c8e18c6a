use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::event::AnalyticsEvent;
use crate::sink::{Guarded, SessionAnalytics};

/// A bounded queue in front of a sink that may be slow. Recording never waits for the sink: when the queue is full, the
/// event is dropped and counted.
///
/// Nothing runs until the worker does, on a thread of yours:
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_layer_analytics::{AnalyticsEvent, AnalyticsLayer, QueuedAnalytics};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let slow = |event: &AnalyticsEvent| { /* write to a file, call a service */ };
/// let (queue, worker) = QueuedAnalytics::new(slow, 10_000);
/// let thread = std::thread::spawn(move || worker.run());
/// let backend = InMemorySessionBackend::new().layer(AnalyticsLayer::new(queue.clone()));
/// backend.ping().await?;
///
/// // When the application ends: what is queued is still recorded.
/// assert!(queue.close(Duration::from_secs(5)));
/// thread.join().unwrap();
/// assert_eq!(queue.dropped(), 0);
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
///
/// Clones share the queue. When the last one is dropped, the worker records the rest and ends.
#[derive(Clone)]
pub struct QueuedAnalytics(Arc<Entrance>);

/// Held by all clones: with the last of them the queue closes.
struct Entrance(Arc<Queue>);

/// Takes events out of a queue and tells the sink. Dropping it drops what is queued and what still comes.
#[must_use = "nothing is recorded until it runs"]
pub struct AnalyticsWorker {
    queue: Arc<Queue>,
    sink: Guarded,
}

struct Queue {
    capacity: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<AnalyticsEvent>,
    dropped: u64,
    is_closed: bool,
    /// The worker ended.
    is_over: bool,
    /// It ended before all was recorded.
    is_abandoned: bool,
}

impl QueuedAnalytics {
    /// A queue of at most so many events (some 100 bytes each; at least one), and the worker that empties it.
    pub fn new(sink: impl SessionAnalytics, capacity: usize) -> (Self, AnalyticsWorker) {
        let queue =
            Arc::new(Queue { capacity: capacity.max(1), waiting: Mutex::default(), changed: Condvar::new() });
        let worker = AnalyticsWorker { queue: Arc::clone(&queue), sink: Guarded::new(sink) };
        (Self(Arc::new(Entrance(queue))), worker)
    }

    /// How many events were dropped: the queue was full or closed, or its worker gone.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue().lock().dropped
    }

    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue().lock().events.len()
    }

    /// Whether none waits. The last one may still be with the sink.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no more events, waits at most `patience` for the worker to record those that wait, and says whether it did.
    /// Whatever the answer, the worker goes on until it has. In asynchronous code, call it in `spawn_blocking`.
    pub fn close(&self, patience: Duration) -> bool {
        self.queue().close();
        let waiting = self.queue().lock();
        let ended = self.queue().changed.wait_timeout_while(waiting, patience, |waiting| !waiting.is_over);
        let (waiting, _) = ended.unwrap_or_else(PoisonError::into_inner);
        waiting.is_over && !waiting.is_abandoned
    }

    fn queue(&self) -> &Queue {
        &self.0.0
    }
}

impl SessionAnalytics for QueuedAnalytics {
    fn record(&self, event: &AnalyticsEvent) {
        let event = event.clone();
        let queue = self.queue();
        let mut waiting = queue.lock();
        if waiting.is_closed || waiting.events.len() >= queue.capacity {
            waiting.dropped += 1;
            return;
        }
        waiting.events.push_back(event);
        drop(waiting);
        queue.changed.notify_one();
    }
}

impl AnalyticsWorker {
    /// Blocks its thread until the queue is closed and empty. Give it a thread of its own: `std::thread::spawn`, or
    /// `tokio::task::spawn_blocking`. A panic of the sink is caught, counted, and logged once.
    pub fn run(self) {
        while let Some(event) = self.queue.next() {
            self.sink.record(&event);
        }
    }

    /// How many events the sink panicked at.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.sink.panics()
    }
}

impl Drop for AnalyticsWorker {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.is_closed = true;
        waiting.is_over = true;
        waiting.is_abandoned = !waiting.events.is_empty();
        waiting.dropped += waiting.events.len() as u64;
        waiting.events.clear();
        drop(waiting);
        self.queue.changed.notify_all();
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// The next event, waiting for it; `None` at the end.
    fn next(&self) -> Option<AnalyticsEvent> {
        let is_idle = |waiting: &mut Waiting| waiting.events.is_empty() && !waiting.is_closed;
        let waiting = self.changed.wait_while(self.lock(), is_idle);
        waiting.unwrap_or_else(PoisonError::into_inner).events.pop_front()
    }
}

impl fmt::Debug for QueuedAnalytics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.queue().lock();
        f.debug_struct("QueuedAnalytics")
            .field("capacity", &self.queue().capacity)
            .field("waiting", &waiting.events.len())
            .field("dropped", &waiting.dropped)
            .finish()
    }
}

impl fmt::Debug for AnalyticsWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnalyticsWorker").field("sink", &self.sink).finish()
    }
}
