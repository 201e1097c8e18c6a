use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::AnalyticsEvent;

/// Where events go: a logger, a registry of metrics, a closure.
///
/// `record` is called on the request's own thread, after the backend has answered and before its caller learns of it. So
/// it must not block: count, or send. What may block goes behind [`QueuedAnalytics`](crate::QueuedAnalytics). A panic in
/// it is caught, counted, and logged once.
///
/// Every closure that takes an event is a sink:
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_layer_analytics::{AnalyticsEvent, AnalyticsLayer, Outcome};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let misses = Arc::new(AtomicU64::new(0));
/// let counter = misses.clone();
/// let layer = AnalyticsLayer::new(move |event: &AnalyticsEvent| {
///     if event.outcome == (Outcome::Accessed { hit: false }) {
///         counter.fetch_add(1, Ordering::Relaxed);
///     }
/// });
/// let backend = InMemorySessionBackend::new().layer(layer);
/// backend.ping().await?; // reads an id that was never issued
/// assert_eq!(misses.load(Ordering::Relaxed), 1);
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
pub trait SessionAnalytics: Send + Sync + 'static {
    /// Something happened. Must not block.
    fn record(&self, event: &AnalyticsEvent);
}

impl<F: Fn(&AnalyticsEvent) + Send + Sync + 'static> SessionAnalytics for F {
    fn record(&self, event: &AnalyticsEvent) {
        self(event);
    }
}

/// A sink whose panics stay in it. Clones share the count.
#[derive(Clone)]
pub(crate) struct Guarded {
    sink: Arc<dyn SessionAnalytics>,
    panics: Arc<AtomicU64>,
}

impl Guarded {
    pub(crate) fn new(sink: impl SessionAnalytics) -> Self {
        Self { sink: Arc::new(sink), panics: Arc::default() }
    }

    pub(crate) fn record(&self, event: &AnalyticsEvent) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.sink.record(event))) else { return };
        // What a sink panics with may panic again when it is dropped.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        if self.panics.fetch_add(1, Ordering::Relaxed) == 0 {
            // Whoever reads the log may be the one that panicked.
            let logged = catch_unwind(AssertUnwindSafe(|| {
                tracing::error!(target: "cloakroom::analytics", "a sink panicked; further panics of it are only counted");
            }));
            if let Err(again) = logged {
                std::mem::forget(again);
            }
        }
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("panics", &self.panics()).finish_non_exhaustive()
    }
}
