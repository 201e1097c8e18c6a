use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use cloakroom_core::{Capability, ErrorKind, Result, SessionBackend};

use crate::backend::TenantSessionBackend;
use crate::config::TenantConfig;
use crate::space::{Space, refuse};
use crate::tenant_id::TenantId;

/// How many key spaces are kept ready.
const CAPACITY: usize = 4_096;

type Known = dyn Fn(&TenantId) -> bool + Send + Sync;

/// All tenants of one backend, each by its name: what a middleware that serves them all asks for each request.
///
/// A tenant that was asked for before costs a look into a map and no allocation; 4,096 are remembered, and then it
/// begins anew. Clones share the map.
///
/// ```
/// use cloakroom_core::InMemorySessionBackend;
/// use cloakroom_layer_tenancy::{TenantConfig, Tenants};
///
/// let customers = ["acme", "globex"];
/// let tenants = Tenants::new(InMemorySessionBackend::new(), TenantConfig::default())
///     .with_known(move |tenant| customers.contains(&tenant.as_str()));
/// assert_eq!(tenants.of("acme")?.tenant().as_str(), "acme");
/// assert!(tenants.of("nobody").is_err());
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Tenants<B> {
    inner: B,
    capability: Capability,
    config: TenantConfig,
    known: Option<Arc<Known>>,
    spaces: Arc<RwLock<HashMap<TenantId, Arc<Space>>>>,
}

impl<B: SessionBackend + Clone> Tenants<B> {
    /// In that backend. Every name that [`TenantId::parse`] accepts is a tenant, until [`with_known`](Self::with_known).
    pub fn new(inner: B, config: TenantConfig) -> Self {
        let capability = inner.capability();
        Self { inner, capability, config, known: None, spaces: Arc::default() }
    }

    /// Only those are tenants for which it says so. It is asked each time, and must not block: keep a set that something
    /// else refreshes.
    pub fn with_known(mut self, known: impl Fn(&TenantId) -> bool + Send + Sync + 'static) -> Self {
        self.known = Some(Arc::new(known));
        self
    }

    /// The sessions of a tenant. No backend call.
    ///
    /// # Errors
    /// `InvalidKey` for what is no tenant.
    pub fn of(&self, tenant: &str) -> Result<TenantSessionBackend<B>> {
        let ready = {
            let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
            spaces.get(tenant).cloned()
        };
        let is_new = ready.is_none();
        let space = match ready {
            Some(space) => space,
            None => Arc::new(Space::new(TenantId::parse(tenant)?, &self.config, self.capability.clone())),
        };
        if self.known.as_ref().is_some_and(|known| !known(space.tenant())) {
            return Err(refuse(ErrorKind::InvalidKey, "find tenant").with_message("no such tenant"));
        }
        if is_new {
            self.remember(&space);
        }
        Ok(TenantSessionBackend::in_space(self.inner.clone(), space))
    }

    fn remember(&self, space: &Arc<Space>) {
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        if spaces.len() >= CAPACITY {
            spaces.clear();
        }
        spaces.insert(space.tenant().clone(), Arc::clone(space));
    }

    /// The backend within, which holds the sessions of all tenants.
    #[must_use]
    pub const fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: fmt::Debug> fmt::Debug for Tenants<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
