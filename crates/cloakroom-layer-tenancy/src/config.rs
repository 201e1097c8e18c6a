use std::sync::Arc;

use cloakroom_core::{ErrorKind, Result, Scope, SessionConfig, SessionError, SessionObserver};

use crate::tenant_id::TenantId;

const TENANT: &str = "{tenant_id}";
/// Where client-side sessions keep what ended, among others.
const RESERVED: &str = "cloakroom:";
const SESSION: &str = "{session_id}";

/// How tenants' key spaces are named, and how large they may be. One for all tenants of a store.
///
/// ```
/// use cloakroom_layer_tenancy::{TenantConfig, TenantId};
///
/// let config = TenantConfig::default().with_max_sessions(1_000);
/// assert_eq!(config.pattern(), "tenant:{tenant_id}:session:{session_id}");
///
/// let config = config.with_pattern("shop/{tenant_id}/{session_id}")?;
/// assert_eq!(config.scope(&TenantId::parse("acme")?)?.as_str(), "shop/acme/");
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TenantConfig {
    before: Arc<str>,
    between: Arc<str>,
    max_sessions: Option<u64>,
    /// For its observers.
    events: Arc<SessionConfig>,
}

impl TenantConfig {
    /// Key spaces `tenant:{tenant_id}:session:{session_id}`, without a limit.
    pub fn new() -> Self {
        Self {
            before: "tenant:".into(),
            between: ":session:".into(),
            max_sessions: None,
            events: Arc::default(),
        }
    }

    /// Names key spaces after another pattern. It must be the same for all who share the store, and stay so: sessions
    /// are not found under another.
    ///
    /// # Errors
    /// `InvalidConfig` unless `{tenant_id}` and `{session_id}` are in it once each, `{session_id}` last, with something
    /// between them that begins with a character that no tenant's name has, such as `:` or `/`: then no key space is
    /// the beginning of another. What stands around them must be what a [`Scope`] may hold, of 127 bytes at most.
    pub fn with_pattern(mut self, pattern: &str) -> Result<Self> {
        let refuse =
            |message| Err(SessionError::new(ErrorKind::InvalidConfig, "parse pattern").with_message(message));
        let Some((before, rest)) = pattern.split_once(TENANT) else {
            return refuse("the pattern has no {tenant_id}");
        };
        let Some((between, "")) = rest.split_once(SESSION) else {
            return refuse("the pattern does not end with {session_id}");
        };
        if [before, between].iter().any(|part| part.contains(['{', '}'])) {
            return refuse("{tenant_id} and {session_id} are in the pattern once each, and no other braces");
        }
        if between.bytes().next().is_none_or(TenantId::allows) {
            return refuse("what follows {tenant_id} must begin with a character that no tenant's name has");
        }
        if before.starts_with(RESERVED) {
            return refuse("key spaces that begin with `cloakroom:` are the framework's own");
        }
        let longest = "t".repeat(TenantId::MAX_LENGTH);
        if Scope::parse(&[before, &longest, between].concat()).is_err() {
            return refuse("the pattern does not make a scope for every tenant");
        }
        (self.before, self.between) = (before.into(), between.into());
        Ok(self)
    }

    /// Limits the live sessions of each tenant. The check is part of the step that stores, so it holds whatever happens
    /// at once, and sessions that are there go on at the limit, and beyond one that was lowered. Over a backend that does not check limits
    /// every operation is `InvalidConfig`.
    pub fn with_max_sessions(mut self, limit: u64) -> Self {
        self.max_sessions = Some(limit);
        self
    }

    /// Tells somebody of attempts to reach another tenant's sessions, as
    /// [`SecurityEvent::ForeignTenant`](cloakroom_core::SecurityEvent::ForeignTenant).
    pub fn with_observer(mut self, observer: impl SessionObserver) -> Self {
        self.events = Arc::new(Arc::unwrap_or_clone(self.events).with_observer(observer));
        self
    }

    /// The pattern.
    #[must_use]
    pub fn pattern(&self) -> String {
        [&*self.before, TENANT, &self.between, SESSION].concat()
    }

    /// The most live sessions of a tenant.
    #[must_use]
    pub const fn max_sessions(&self) -> Option<u64> {
        self.max_sessions
    }

    /// The scope that a tenant's sessions are filed in, for tools that look into the store beneath.
    ///
    /// # Errors
    /// `InvalidConfig` for the tenant `cloakroom` under a pattern such as `{tenant_id}:{session_id}`: key spaces that begin
    /// with `cloakroom:` are the framework's own.
    pub fn scope(&self, tenant: &TenantId) -> Result<Scope> {
        let scope = [&*self.before, tenant.as_str(), &self.between].concat();
        if scope.starts_with(RESERVED) {
            let error = SessionError::new(ErrorKind::InvalidConfig, "name key space");
            return Err(error.with_message("key spaces that begin with `cloakroom:` are the framework's own"));
        }
        Scope::parse(&scope)
    }

    pub(crate) const fn events(&self) -> &Arc<SessionConfig> {
        &self.events
    }
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self::new()
    }
}
