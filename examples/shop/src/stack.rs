use std::path::Path;

use cloakroom::encryption::{KeyRing, SealKey};
use cloakroom::{
    AnalyticsLayer, CompressionLayer, CookieConfig, EncryptedSessionBackend, PrometheusAnalytics,
    SessionBackendExt, SessionLayer, SharedBackend, TenantConfig, TenantResolver, Tenants, ZstdCompressor,
};
use prometheus::Registry;

use crate::options::Options;

/// How many tenants have numbers of their own; further ones share theirs.
const COUNTED_TENANTS: usize = 100;

/// The store with what was asked for around it: encryption next to it, then compression, so that what is encrypted is
/// small, then analytics, inside of the tenants, so that it sees whose session a call is about.
pub(crate) struct Stack {
    pub(crate) backend: SharedBackend,
    /// Where analytics counts.
    pub(crate) registry: Option<Registry>,
    tenants: Option<(TenantResolver, Tenants<SharedBackend>)>,
}

impl Stack {
    pub(crate) fn new(store: SharedBackend, options: &Options) -> Result<Self, Box<dyn std::error::Error>> {
        let mut backend = store;
        if let Some(file) = &options.encrypt {
            backend = EncryptedSessionBackend::new(backend, ring(file)?)?.shared();
        }
        if options.compress {
            backend = backend.layer(CompressionLayer::new(ZstdCompressor::new())).shared();
        }
        let registry = options.metrics.map(|_| Registry::new());
        if let Some(registry) = &registry {
            let mut metrics = PrometheusAnalytics::builder();
            if options.tenants.is_some() {
                metrics = metrics.with_tenants(COUNTED_TENANTS);
            }
            backend = backend.layer(AnalyticsLayer::new(metrics.register(registry)?)).shared();
        }
        let tenants = match &options.tenants {
            Some(domain) => {
                let resolver = TenantResolver::subdomain(domain)?;
                // A shop with customers would let only those pass: `with_known`.
                Some((resolver, Tenants::new(backend.clone(), TenantConfig::default())))
            }
            None => None,
        };
        Ok(Self { backend, registry, tenants })
    }

    /// What gives each request its session.
    pub(crate) fn sessions(&self, cookie: CookieConfig) -> SessionLayer {
        let layer = match self.tenants.clone() {
            Some((resolver, tenants)) => SessionLayer::per_tenant(resolver, move |tenant| tenants.of(tenant)),
            None => SessionLayer::new(self.backend.clone()),
        };
        layer.with_cookie(cookie)
    }
}

fn ring(file: &Path) -> Result<KeyRing, Box<dyn std::error::Error>> {
    let lines = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut keys = Vec::new();
    for (index, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let explained = |error| format!("{}, line {}: {error}", file.display(), index + 1);
        keys.push(SealKey::parse(line).map_err(explained)?);
    }
    Ok(KeyRing::new(keys)?)
}
