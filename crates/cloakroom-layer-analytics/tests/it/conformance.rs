//! The whole contract, with every sink.

use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
use cloakroom_layer_analytics::{
    AnalyticsEvent, AnalyticsLayer, CompositeAnalytics, InstrumentedSessionBackend, LoggerAnalytics,
    PrometheusAnalytics,
};

cloakroom_testkit::conformance!(prometheus_and_log, |clock| async move {
    let metrics = PrometheusAnalytics::builder().with_tenants(2).register(&prometheus::Registry::new());
    let sinks = CompositeAnalytics::new().with(LoggerAnalytics::new()).with(metrics.unwrap());
    InMemorySessionBackend::with_clock(clock).layer(AnalyticsLayer::new(sinks))
});

cloakroom_testkit::conformance!(twice, |clock| async move {
    let inner =
        InstrumentedSessionBackend::new(InMemorySessionBackend::with_clock(clock), LoggerAnalytics::new());
    InstrumentedSessionBackend::new(inner, |_: &AnalyticsEvent| ())
});

cloakroom_testkit::conformance!(broken_sink, |clock| async move {
    // `resume_unwind` panics without a message for each of ten thousand events.
    let broken = |_: &AnalyticsEvent| std::panic::resume_unwind(Box::new("broken"));
    InstrumentedSessionBackend::new(InMemorySessionBackend::with_clock(clock), broken)
});
