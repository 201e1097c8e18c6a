use cloakroom_core::{BackendLayer, SessionBackend};

use crate::backend::InstrumentedSessionBackend;
use crate::sink::{Guarded, SessionAnalytics};

/// Tells a sink of every call of the backend inside.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_layer_analytics::{AnalyticsLayer, LoggerAnalytics};
///
/// let analytics = AnalyticsLayer::new(LoggerAnalytics::new());
/// let backend = InMemorySessionBackend::new().layer(analytics.clone());
/// assert_eq!(analytics.panics(), 0);
/// ```
///
/// All backends that one layer made tell the same sink.
#[derive(Clone, Debug)]
pub struct AnalyticsLayer {
    sink: Guarded,
}

impl AnalyticsLayer {
    /// Tells that sink, on the thread of each request: what it takes, the request waits. See [`SessionAnalytics`].
    #[must_use]
    pub fn new(sink: impl SessionAnalytics) -> Self {
        Self { sink: Guarded::new(sink) }
    }

    /// How many events the sink panicked at.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.sink.panics()
    }
}

impl<B: SessionBackend> BackendLayer<B> for AnalyticsLayer {
    type Backend = InstrumentedSessionBackend<B>;

    fn layer(&self, inner: B) -> Self::Backend {
        InstrumentedSessionBackend::with_sink(inner, self.sink.clone())
    }
}
