use crate::event::AnalyticsEvent;
use crate::sink::{Guarded, SessionAnalytics};

/// Several sinks as one, told in the order in which they were added. A panic in one keeps nothing from the others.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_layer_analytics::{AnalyticsEvent, AnalyticsLayer, CompositeAnalytics, LoggerAnalytics};
///
/// let sinks = CompositeAnalytics::new().with(LoggerAnalytics::new()).with(|_: &AnalyticsEvent| ());
/// assert_eq!(sinks.len(), 2);
/// let backend = InMemorySessionBackend::new().layer(AnalyticsLayer::new(sinks));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CompositeAnalytics {
    sinks: Vec<Guarded>,
}

impl CompositeAnalytics {
    /// Without a sink so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, sink: impl SessionAnalytics) -> Self {
        self.add(sink);
        self
    }

    /// Adds one to what is there.
    pub fn add(&mut self, sink: impl SessionAnalytics) {
        self.sinks.push(Guarded::new(sink));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sinks.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// How many events a sink panicked at, all sinks together.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.sinks.iter().map(Guarded::panics).sum()
    }
}

impl SessionAnalytics for CompositeAnalytics {
    fn record(&self, event: &AnalyticsEvent) {
        for sink in &self.sinks {
            sink.record(event);
        }
    }
}
