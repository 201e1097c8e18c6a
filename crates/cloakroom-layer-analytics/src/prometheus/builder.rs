use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use cloakroom_core::{ErrorKind, Result, Scope, SessionError};
use prometheus::Registry;

use super::metric::Families;
use super::{Inner, PrometheusAnalytics, Tenants};

/// The tenant of scopes beyond the most that get a label value of their own.
const OTHER: &str = "other";
const BACKEND: &str = "backend";
const TENANT: &str = "tenant";
/// Labels that some metrics have of themselves.
const OWN: [&str; 4] = ["reason", "operation", "kind", "le"];

/// From 5 µs, which memory needs, to 5 s, where timeouts are.
const LATENCY_BUCKETS: [f64; 18] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
const SIZE_BUCKETS: [f64; 9] =
    [64.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0, 16_384.0, 102_400.0, 1_048_576.0];

/// Settings of [`PrometheusAnalytics`]: labels and buckets.
///
/// Several instances can be in one registry, if all have the same label names and each its own values:
///
/// ```
/// use cloakroom_core::ErrorKind;
/// use cloakroom_layer_analytics::PrometheusAnalytics;
/// use prometheus::Registry;
///
/// let registry = Registry::new();
/// PrometheusAnalytics::builder().with_backend("users").register(&registry)?;
/// PrometheusAnalytics::builder().with_backend("staff").register(&registry)?;
/// let again = PrometheusAnalytics::builder().with_backend("staff").register(&registry);
/// assert_eq!(again.unwrap_err().kind(), ErrorKind::InvalidConfig);
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct PrometheusBuilder {
    constant: HashMap<String, String>,
    most_tenants: Option<usize>,
    tenant_name: Arc<dyn Fn(&Scope) -> String + Send + Sync>,
    latency_buckets: Vec<f64>,
    size_buckets: Vec<f64>,
}

impl PrometheusBuilder {
    pub(super) fn new() -> Self {
        Self {
            constant: HashMap::new(),
            most_tenants: None,
            tenant_name: Arc::new(tenant_of),
            latency_buckets: LATENCY_BUCKETS.into(),
            size_buckets: SIZE_BUCKETS.into(),
        }
    }

    /// A label `backend` of that value on every metric.
    pub fn with_backend(self, name: impl Into<String>) -> Self {
        self.with_label(BACKEND, name)
    }

    /// A label `tenant` of that value on every metric, for an instance that sees one tenant only. Bounding the number of
    /// such instances is yours.
    pub fn with_tenant(self, name: impl Into<String>) -> Self {
        self.with_label(TENANT, name)
    }

    /// Any other label of one value.
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.constant.insert(name.into(), value.into());
        self
    }

    /// A label `tenant` from the scope that each call's key or filter is in. The first `most` scopes get a value of
    /// their own, all further ones share `other`; calls without a scope have an empty value, which Prometheus treats as
    /// none. Each tenant adds some 50 series, and one for each operation and kind of error that it meets.
    ///
    /// Keys have scopes inside of a tenancy layer, or outside where the application scopes them itself. An instance
    /// outside of a tenancy layer that serves one tenant takes [`with_tenant`](Self::with_tenant).
    ///
    /// `session_operation_latency_seconds`, `session_expired_total` and `session_active` are of all tenants together.
    pub fn with_tenants(mut self, most: usize) -> Self {
        self.most_tenants = Some(most);
        self
    }

    /// What to call a scope; asked once for each. Unless told otherwise, `tenant:acme:session:` is called `acme`, and
    /// scopes of other shapes by their text.
    pub fn with_tenant_name(mut self, name: impl Fn(&Scope) -> String + Send + Sync + 'static) -> Self {
        self.tenant_name = Arc::new(name);
        self
    }

    /// Upper bounds of the latency histograms, in seconds, ascending. Unless told otherwise 18 from 5 µs to 5 s.
    pub fn with_latency_buckets(mut self, seconds: impl Into<Vec<f64>>) -> Self {
        self.latency_buckets = seconds.into();
        self
    }

    /// Upper bounds of the size histogram, in bytes, ascending. Unless told otherwise 9 from 64 bytes to 1 MiB.
    pub fn with_size_buckets(mut self, bytes: impl Into<Vec<f64>>) -> Self {
        self.size_buckets = bytes.into();
        self
    }

    /// Puts the metrics into a registry: all of them, or on an error none.
    ///
    /// # Errors
    /// `InvalidConfig` when the registry has these metrics already with the same label values or with other label names,
    /// when a label name is malformed or one that the metrics have themselves, when `tenant` is asked for twice, or when
    /// buckets do not ascend.
    pub fn register(self, registry: &Registry) -> Result<PrometheusAnalytics> {
        self.check_labels()?;
        let per_tenant = self.most_tenants.map(|_| TENANT);
        let families = Families::new(&self.constant, per_tenant, &self.latency_buckets, &self.size_buckets)
            .map_err(refused)?;
        let meter = |tenant| families.meter(tenant).map(Arc::new).map_err(refused);
        let tenants = match self.most_tenants {
            None => None,
            Some(most) => {
                Some(Tenants { most, name: self.tenant_name, known: RwLock::default(), other: meter(OTHER)? })
            }
        };
        let unscoped = meter("")?;
        // As one collector: a registry takes it whole or not at all.
        registry.register(Box::new(families.clone())).map_err(refused)?;
        Ok(PrometheusAnalytics(Arc::new(Inner { families, unscoped, tenants })))
    }
}

/// What `prometheus` does not see: it looks for equal names among labels of one kind only.
impl PrometheusBuilder {
    fn check_labels(&self) -> Result<()> {
        let is_taken = |name: &str| match name {
            TENANT => self.most_tenants.is_some(),
            name => name.starts_with("__") || OWN.contains(&name),
        };
        if !self.constant.keys().any(|name| is_taken(name)) {
            return Ok(());
        }
        let error = SessionError::new(ErrorKind::InvalidConfig, "register metrics").with_backend("analytics");
        Err(error.with_message(
            "a label is named twice: `reason`, `operation`, `kind` and `le` are the metrics' own, `tenant` is theirs after \
             `with_tenants`, and names that begin with `__` are Prometheus's",
        ))
    }
}

fn refused(error: prometheus::Error) -> SessionError {
    let message = match error {
        prometheus::Error::AlreadyReg => {
            "the registry has session metrics of these label values already; give each instance a `backend` of its own"
        }
        _ => "the registry refuses these labels or buckets; all instances in one need the same label names",
    };
    SessionError::new(ErrorKind::InvalidConfig, "register metrics")
        .with_backend("analytics")
        .with_message(message)
        .with_source(error)
}

fn tenant_of(scope: &Scope) -> String {
    let text = scope.as_str();
    let tenant = text.strip_prefix("tenant:").and_then(|rest| rest.strip_suffix(":session:"));
    tenant.unwrap_or(text).to_owned()
}

impl fmt::Debug for PrometheusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusBuilder")
            .field("labels", &self.constant)
            .field("most_tenants", &self.most_tenants)
            .finish_non_exhaustive()
    }
}
