use std::sync::Arc;

use cloakroom_core::{
    Capability, ErrorKind, Filter, KeyKind, Limits, Record, Result, Scope, ScopeFilter, SecurityEvent,
    SessionConfig, SessionError, SessionEvent, SessionId, SessionKey,
};

use crate::config::TenantConfig;
use crate::tenant_id::TenantId;

/// What errors call the layer.
const NAME: &str = "tenancy";

/// A token names its scope in a field of its own, of that many bytes beside the scope.
const SCOPE_FIELD: usize = 8;

/// One tenant's key space in a backend.
#[derive(Debug)]
pub(crate) struct Space {
    tenant: TenantId,
    /// Or why there can be none in that backend.
    scope: Result<Scope, &'static str>,
    max_sessions: Option<u64>,
    capability: Capability,
    events: Arc<SessionConfig>,
}

impl Space {
    pub(crate) fn new(tenant: TenantId, config: &TenantConfig, inner: Capability) -> Self {
        let max_sessions = config.max_sessions();
        let scope = if !inner.scopes {
            Err("the backend has all its sessions in one scope: tenants cannot be nested")
        } else if max_sessions.is_some() && !inner.limits {
            Err("the backend does not check limits: `with_max_sessions` would not hold")
        } else {
            config.scope(&tenant).map_err(|_| "the pattern does not make a scope")
        };
        let mut capability = inner.with_scopes(false);
        if let (KeyKind::Sealed { .. }, Ok(scope)) = (capability.key_kind, &scope) {
            let largest = capability.max_payload.saturating_sub(scope.as_str().len() + SCOPE_FIELD);
            capability = capability.with_max_payload(largest);
        }
        Self { tenant, scope, max_sessions, capability, events: Arc::clone(config.events()) }
    }

    pub(crate) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(crate) const fn capability(&self) -> &Capability {
        &self.capability
    }

    pub(crate) fn scope(&self, operation: &'static str) -> Result<&Scope> {
        self.scope.as_ref().map_err(|why| refuse(ErrorKind::InvalidConfig, operation).with_message(*why))
    }

    /// A key in this space.
    pub(crate) fn own(&self, key: &SessionKey, operation: &'static str) -> Result<SessionKey> {
        let own = self.scope(operation)?;
        match key.scope() {
            None => Ok(key.scoped(own)),
            Some(scope) if scope == own => Ok(key.clone()),
            Some(_) => Err(self.foreign(Some(key.id()), operation)),
        }
    }

    /// A filter that sees nothing outside this space.
    pub(crate) fn within(&self, filter: &Filter, operation: &'static str) -> Result<Filter> {
        let own = self.scope(operation)?;
        match &filter.scope {
            ScopeFilter::Any | ScopeFilter::Unscoped => {}
            ScopeFilter::Is(scope) if scope == own => {}
            _ => return Err(self.foreign(None, operation)),
        }
        let mut filter = filter.clone();
        filter.scope = ScopeFilter::Is(own.clone());
        Ok(filter)
    }

    /// Limits with this tenant's; the smaller one counts.
    pub(crate) fn limit(&self, limits: Limits) -> Limits {
        match (self.max_sessions, limits.per_scope) {
            (None, _) => limits,
            (Some(most), given) => limits.with_per_scope(given.map_or(most, |given| given.min(most))),
        }
    }

    /// A scope takes room in a sealed session.
    pub(crate) fn check_size(&self, record: &Record, operation: &'static str) -> Result<()> {
        let (length, most) = (record.payload.len(), self.capability.max_payload);
        if length <= most {
            return Ok(());
        }
        let message = format!("a payload of {length} bytes, at most {most} fit");
        Err(refuse(ErrorKind::TooLarge, operation).with_message(message))
    }

    /// CV-28: the backend is not asked, and somebody is told.
    fn foreign(&self, id: Option<SessionId>, operation: &'static str) -> SessionError {
        let (tenant, session) = (self.tenant.as_str(), id.map(|id| id.log_hash()));
        tracing::warn!(target: "cloakroom::security", tenant, session, operation, "the key space of another tenant");
        self.events.notify(SessionEvent::Security(SecurityEvent::ForeignTenant(id)));
        refuse(ErrorKind::InvalidKey, operation).with_message("the key space of another tenant")
    }
}

pub(crate) fn refuse(kind: ErrorKind, operation: &'static str) -> SessionError {
    SessionError::new(kind, operation).with_backend(NAME)
}
