use cloakroom_core::{BackendLayer, SessionBackend};

use crate::backend::TenantSessionBackend;
use crate::config::TenantConfig;
use crate::tenant_id::TenantId;

/// Puts all sessions into the key space of one tenant.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_layer_tenancy::{TenancyLayer, TenantConfig, TenantId};
///
/// let acme = TenancyLayer::new(TenantId::parse("acme")?, TenantConfig::default());
/// let backend = InMemorySessionBackend::new().layer(acme);
/// assert_eq!(backend.tenant().as_str(), "acme");
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
///
/// Where the tenant changes from request to request, see [`Tenants`](crate::Tenants).
#[derive(Clone, Debug)]
#[must_use]
pub struct TenancyLayer {
    tenant: TenantId,
    config: TenantConfig,
}

impl TenancyLayer {
    /// For that tenant.
    pub const fn new(tenant: TenantId, config: TenantConfig) -> Self {
        Self { tenant, config }
    }
}

impl<B: SessionBackend> BackendLayer<B> for TenancyLayer {
    type Backend = TenantSessionBackend<B>;

    fn layer(&self, inner: B) -> Self::Backend {
        TenantSessionBackend::new(inner, self.tenant.clone(), &self.config)
    }
}
