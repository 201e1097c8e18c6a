use cloakroom_core::{BackendLayer, SessionBackend};

use crate::backend::ReplicatedSessionBackend;
use crate::strategy::{ReplicationConfig, ReplicationStrategy};

/// Copies the sessions of the backend that it wraps, the primary, to secondaries.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_layer_replication::{ReplicationLayer, ReplicationStrategy::SyncReplication};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let (primary, secondary) = (InMemorySessionBackend::new(), InMemorySessionBackend::new());
/// let backend = primary.layer(ReplicationLayer::new(secondary.clone(), SyncReplication));
/// backend.save("greeting", &"hello", Some(60)).await?;
/// assert_eq!(secondary.load::<String>("greeting").await?.as_deref(), Some("hello"));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
///
/// Each backend that it makes has roles and a queue of its own.
#[derive(Clone, Debug)]
pub struct ReplicationLayer<S> {
    secondaries: Vec<S>,
    strategy: ReplicationStrategy,
    config: ReplicationConfig,
}

impl<S: SessionBackend + Clone> ReplicationLayer<S> {
    /// With one secondary and the usual [settings](ReplicationConfig::new).
    #[must_use]
    pub fn new(secondary: S, strategy: ReplicationStrategy) -> Self {
        Self { secondaries: vec![secondary], strategy, config: ReplicationConfig::new() }
    }

    /// One secondary more.
    #[must_use]
    pub fn with_secondary(mut self, secondary: S) -> Self {
        self.secondaries.push(secondary);
        self
    }

    /// With these settings.
    #[must_use]
    pub fn with_config(mut self, config: ReplicationConfig) -> Self {
        self.config = config;
        self
    }
}

impl<P: SessionBackend, S: SessionBackend + Clone> BackendLayer<P> for ReplicationLayer<S> {
    type Backend = ReplicatedSessionBackend<P, S>;

    fn layer(&self, inner: P) -> Self::Backend {
        let Self { secondaries, strategy, config } = self;
        ReplicatedSessionBackend::with_config(inner, secondaries.clone(), *strategy, config.clone())
    }
}
