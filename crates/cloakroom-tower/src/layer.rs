use std::sync::Arc;

use cloakroom_core::{Capability, Result, SessionBackend, SessionBackendExt, SessionConfig, SharedBackend};
use cloakroom_http::{
    CookieConfig, Engine, HeaderConfig, StaleBackend, StoreDown, TenantResolver, Transport,
};
use http::HeaderName;
use http::header::COOKIE;
use tower_layer::Layer;

use crate::service::SessionService;
use crate::tenant::{PerTenant, Source};

/// Gives every request a session, and saves it when the handler has answered.
///
/// The session is in the extensions of the request; in axum, handlers write `session: Session`. A request whose
/// handler never asks for it costs no backend call. Applied twice, say around a nested router too, the outer layer's
/// session is the one.
///
/// ```
/// use axum::{Router, routing::get};
/// use cloakroom_core::{InMemorySessionBackend, Session};
/// use cloakroom_tower::SessionLayer;
///
/// async fn visits(session: Session) -> Result<String, axum::http::StatusCode> {
///     let visits = session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1);
///     Ok(format!("{} visits", visits.map_err(|_| axum::http::StatusCode::INTERNAL_SERVER_ERROR)?))
/// }
///
/// let app: Router = Router::new()
///     .route("/", get(visits))
///     .layer(SessionLayer::new(InMemorySessionBackend::new()));
/// ```
///
/// With settings, and the backend's own type in the handlers (one allocation less for each backend call):
///
/// ```
/// use axum::{Router, routing::get};
/// use cloakroom_core::{InMemorySessionBackend, Session, SessionConfig, Timeouts};
/// use cloakroom_tower::{CookieConfig, SameSite, SessionLayer};
///
/// type MySession = Session<InMemorySessionBackend>;
///
/// async fn whoami(session: MySession) -> String {
///     session.owner().unwrap_or_else(|| "nobody".to_owned())
/// }
///
/// let layer = SessionLayer::typed(InMemorySessionBackend::new())
///     .with_config(SessionConfig::default().with_timeouts(Timeouts::nist_aal3()))
///     .with_cookie(CookieConfig::builder().with_same_site(SameSite::Strict).build()?);
/// let app: Router = Router::new().route("/", get(whoami)).layer(layer);
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
///
/// Two layers with different cookies side by side, one for users and one for administrators, say, need two types of
/// backend, so that `Session<A>` and `Session<B>` are two things in the extensions.
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionLayer<B = SharedBackend> {
    source: Source<B>,
    shared: Arc<Shared>,
}

/// What all requests of a layer share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) request_header: HeaderName,
    degrade: bool,
    /// The backend as it was given, where a policy put another around it.
    plain: Option<SharedBackend>,
    /// A policy that a layer by tenants cannot have.
    pub(crate) stale_by_tenant: bool,
    /// What responses depend on beside the session.
    pub(crate) tenant_header: Option<Box<str>>,
}

impl Shared {
    fn new(engine: Engine) -> Self {
        Self {
            engine,
            request_header: COOKIE,
            degrade: false,
            plain: None,
            stale_by_tenant: false,
            tenant_header: None,
        }
    }
}

impl SessionLayer<SharedBackend> {
    /// Sessions in that backend; handlers write `Session`, whatever it is.
    pub fn new<B: SessionBackend>(backend: B) -> Self {
        Self::typed(backend.shared())
    }

    /// Sessions in the backend of the tenant that a request is for; handlers write `Session`.
    ///
    /// `choose` is asked for each request and must not block. A request for which the resolver finds no tenant, or
    /// `choose` says `InvalidKey`, does not reach the handler: it gets 404, or what
    /// [`with_unknown_tenant`](TenantResolver::with_unknown_tenant) says, and raises
    /// [`SecurityEvent::UnknownTenant`](cloakroom_core::SecurityEvent::UnknownTenant). Other errors of `choose` are
    /// answered as those of a store. Handlers find the tenant in the extensions, as a
    /// [`RequestTenant`](crate::RequestTenant).
    ///
    /// Around or inside another layer with the same cookie, both must find the same tenant; else every request gets 500.
    ///
    /// ```
    /// use axum::{Extension, Router, routing::get};
    /// use cloakroom_core::{ErrorKind, InMemorySessionBackend, Session, SessionError};
    /// use cloakroom_tower::{RequestTenant, SessionLayer, TenantResolver};
    ///
    /// async fn home(Extension(tenant): Extension<RequestTenant>, session: Session) -> String {
    ///     format!("{} has {} fields", tenant.as_str(), session.len())
    /// }
    ///
    /// // A store for each; in one store, `Tenants` of cloakroom-layer-tenancy.
    /// let (acme, globex) = (InMemorySessionBackend::new(), InMemorySessionBackend::new());
    /// let layer = SessionLayer::per_tenant(TenantResolver::subdomain("shop.example")?, move |tenant| match tenant {
    ///     "acme" => Ok(acme.clone()),
    ///     "globex" => Ok(globex.clone()),
    ///     _ => Err(SessionError::new(ErrorKind::InvalidKey, "choose backend")),
    /// });
    /// let app: Router = Router::new().route("/", get(home)).layer(layer);
    /// # Ok::<(), SessionError>(())
    /// ```
    pub fn per_tenant<B: SessionBackend>(
        resolver: TenantResolver,
        choose: impl Fn(&str) -> Result<B> + Send + Sync + 'static,
    ) -> Self {
        Self::per_tenant_typed(resolver, move |tenant| choose(tenant).map(SessionBackendExt::shared))
    }

    /// What requests get that need their session while the store cannot be reached (default: 503). For a typed
    /// layer, choose [`SessionConfig::with_degraded_sessions`] or wrap the backend in a [`StaleBackend`]. For a layer
    /// [by tenants](Self::per_tenant), stale reads are for the store that they share: with that policy on the layer, no
    /// session is opened, and every request gets 500.
    pub fn with_store_down(mut self, policy: StoreDown) -> Self {
        self.set_degrade(policy == StoreDown::Degrade);
        let shared = Arc::make_mut(&mut self.shared);
        let Source::One(backend) = &self.source else {
            shared.stale_by_tenant = matches!(policy, StoreDown::StaleReads { .. });
            return self;
        };
        // The last policy counts.
        let mut backend = shared.plain.take().unwrap_or_else(|| backend.clone());
        if let StoreDown::StaleReads { capacity, max_age } = policy {
            shared.plain = Some(backend.clone());
            backend = StaleBackend::new(backend, capacity, max_age).shared();
        }
        self.source = Source::One(backend);
        self
    }

    fn set_degrade(&mut self, degrade: bool) {
        let shared = Arc::make_mut(&mut self.shared);
        shared.degrade = degrade;
        let config = shared.engine.config().clone().with_degraded_sessions(degrade);
        shared.engine = shared.engine.clone().with_config(config);
    }
}

impl<B: SessionBackend + Clone> SessionLayer<B> {
    /// Sessions in that backend; handlers write `Session<B>`.
    pub fn typed(backend: B) -> Self {
        let engine = Engine::new(backend.capability());
        Self { source: Source::One(backend), shared: Arc::new(Shared::new(engine)) }
    }

    /// As [`per_tenant`](SessionLayer::per_tenant), with the backend's own type in the handlers.
    pub fn per_tenant_typed(
        resolver: TenantResolver,
        choose: impl Fn(&str) -> Result<B> + Send + Sync + 'static,
    ) -> Self {
        // Of each request's backend the capability is asked anew.
        let mut shared = Shared::new(Engine::new(Capability::store()));
        let tenants = PerTenant::new(resolver, choose);
        shared.tenant_header = tenants.vary().map(Into::into);
        Self { source: Source::PerTenant(Arc::new(tenants)), shared: Arc::new(shared) }
    }

    /// How sessions behave: timeouts, format, limits, observers.
    pub fn with_config(mut self, config: SessionConfig) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        let config = if shared.degrade { config.with_degraded_sessions(true) } else { config };
        shared.engine = shared.engine.clone().with_config(config);
        self
    }

    /// The cookie that carries the key (default `__Host-id; Path=/; Secure; HttpOnly; SameSite=Lax`).
    pub fn with_cookie(self, cookie: CookieConfig) -> Self {
        self.with_transport(Transport::Cookie(cookie))
    }

    /// Carries the key in a header instead of a cookie, for clients that are not browsers. A page of another site
    /// cannot make a browser send such a header, but every script of one's own can read the key.
    pub fn with_header_transport(self, header: HeaderConfig) -> Self {
        self.with_transport(Transport::Header(header))
    }

    fn with_transport(mut self, transport: Transport) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        // Every name that `HeaderConfig` lets pass is a header's.
        shared.request_header = transport.request_header().parse().unwrap_or(COOKIE);
        shared.engine = shared.engine.clone().with_transport(transport);
        self
    }

    /// Whether sessions are saved when the handler answered with a status of 500 or more (default no). What the
    /// handler itself has stored or ended with `save`, `flush` or `cycle_key` stays so either way, and the client
    /// learns of it.
    pub fn with_save_on_5xx(mut self, save: bool) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        shared.engine = shared.engine.clone().with_save_on_5xx(save);
        self
    }
}

impl<S, B: SessionBackend + Clone> Layer<S> for SessionLayer<B> {
    type Service = SessionService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, source: self.source.clone(), shared: Arc::clone(&self.shared) }
    }
}
