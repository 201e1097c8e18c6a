mod builder;
mod metric;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use cloakroom_core::{Filter, Result, Scope, SessionBackend};
use prometheus::Registry;

use crate::event::AnalyticsEvent;
use crate::sink::SessionAnalytics;

pub use builder::PrometheusBuilder;
use metric::{Families, Meter};

/// Counts events in a registry of the [`prometheus`] crate.
///
/// | metric | labels | counts |
/// |---|---|---|
/// | `session_created_total` | | new sessions |
/// | `session_accessed_total` | | reads that were answered: hits and misses |
/// | `session_access_hit_total` | | reads that found a session |
/// | `session_access_miss_total` | | reads that found none, or a marker |
/// | `session_access_latency_seconds` | | histogram: reads, whatever came of them |
/// | `session_operation_latency_seconds` | `operation` | histogram: all other operations |
/// | `session_size_bytes` | | histogram: payloads of created, saved, stored and rotated sessions |
/// | `session_saved_total` | | sessions written again |
/// | `session_stored_total` | | sessions written without looking what was there: copies, migrations, values by name |
/// | `session_marked_total` | | tombstones and trails written |
/// | `session_touched_total` | | moved ends |
/// | `session_rotated_total` | | changes of key |
/// | `session_conflicted_total` | | writes that somebody else was ahead of |
/// | `session_gone_total` | | writes and touches of sessions that have ended |
/// | `session_deleted_total` | `reason` | sessions that were ended, one by one or many at once |
/// | `session_expired_total` | | expired records that sweeping deleted, markers included |
/// | `session_error_total` | `operation`, `kind` | errors; conflicts and ended sessions are none |
/// | `session_cancelled_total` | `operation` | calls whose caller went away |
/// | `session_active` | | gauge: live sessions at the last [`refresh_active`](Self::refresh_active); absent before |
///
/// Two label names are optional: `backend`, a constant, and `tenant`, a constant or one value for each scope. See
/// [`PrometheusBuilder`]. Nothing is labelled by session.
///
/// Counters are those of this process since its start. Stores whose records expire by themselves have nothing to sweep,
/// so `session_expired_total` stays at 0 there.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Session, SessionBackendExt};
/// use cloakroom_layer_analytics::{AnalyticsLayer, PrometheusAnalytics};
/// use prometheus::{Registry, TextEncoder};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let registry = Registry::new();
/// let metrics = PrometheusAnalytics::new(&registry)?;
/// let backend = InMemorySessionBackend::new().layer(AnalyticsLayer::new(metrics.clone()));
///
/// let session = Session::new(backend.clone());
/// session.set("a", 1)?;
/// session.save().await?;
/// assert_eq!(metrics.refresh_active(&backend).await?, 1);
///
/// let text = TextEncoder::new().encode_to_string(&registry.gather())?;
/// assert!(text.contains("session_created_total 1\n") && text.contains("session_active 1\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// Clones count into the same metrics. An event costs no allocation and, apart from errors and cancellations, no look-up
/// by label.
#[derive(Clone)]
pub struct PrometheusAnalytics(Arc<Inner>);

struct Inner {
    families: Families,
    unscoped: Arc<Meter>,
    tenants: Option<Tenants>,
}

/// The meters of the scopes that have one of their own.
struct Tenants {
    most: usize,
    name: Arc<dyn Fn(&Scope) -> String + Send + Sync>,
    known: RwLock<HashMap<Scope, Arc<Meter>>>,
    other: Arc<Meter>,
}

impl PrometheusAnalytics {
    /// Without optional labels.
    ///
    /// # Errors
    /// `InvalidConfig` when the registry has these metrics already: a second instance needs a label value of its own.
    pub fn new(registry: &Registry) -> Result<Self> {
        Self::builder().register(registry)
    }

    /// With labels, or other buckets.
    pub fn builder() -> PrometheusBuilder {
        PrometheusBuilder::new()
    }

    /// Sets `session_active` to the number of live sessions of a backend, all scopes together, and returns it. Call it
    /// from time to time: nothing else moves the gauge, since what one process counts up and down is not what a store
    /// holds.
    ///
    /// One `count` of the backend, which in large stores is not cheap: every minute is plenty, from one process. Give it
    /// the backend inside the analytics layer, if the count itself is not to be counted.
    ///
    /// # Errors
    /// Those of [`count`](SessionBackend::count): `Unsupported` where clients keep the sessions. The gauge then stays.
    pub async fn refresh_active(&self, backend: &impl SessionBackend) -> Result<u64> {
        let count = backend.count(&Filter::everywhere()).await?;
        self.0.families.set_active(count);
        Ok(count)
    }

    fn meter(&self, scope: Option<&Scope>) -> Arc<Meter> {
        match (&self.0.tenants, scope) {
            (Some(tenants), Some(scope)) => tenants.meter(scope, &self.0.families),
            _ => Arc::clone(&self.0.unscoped),
        }
    }
}

impl Tenants {
    fn meter(&self, scope: &Scope, families: &Families) -> Arc<Meter> {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(meter) = known.get(scope) {
                return Arc::clone(meter);
            }
            if known.len() >= self.most {
                return Arc::clone(&self.other);
            }
        }
        // Outside the lock: it is a caller's.
        let name = (self.name)(scope);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.get(scope) {
            return Arc::clone(meter);
        }
        // Inside: a meter that was made stays, and there must not be more of them than that.
        let room = known.len() < self.most;
        match room.then(|| families.meter(&name)) {
            Some(Ok(meter)) => Arc::clone(known.entry(scope.clone()).or_insert(Arc::new(meter))),
            _ => Arc::clone(&self.other),
        }
    }
}

impl SessionAnalytics for PrometheusAnalytics {
    fn record(&self, event: &AnalyticsEvent) {
        self.meter(event.scope.as_ref()).record(event, &self.0.families);
    }
}

impl fmt::Debug for PrometheusAnalytics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusAnalytics").finish_non_exhaustive()
    }
}
