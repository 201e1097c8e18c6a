use std::fmt;
use std::sync::Arc;

use cloakroom_core::{ErrorKind, Result, SessionBackend, SessionError};
use cloakroom_http::{Outcome, RequestHead, TenantResolver};
use http::{HeaderMap, HeaderValue, Request, Uri};

use crate::layer::Shared;

/// The tenant that a request is for, in its extensions inside a layer by
/// [`per_tenant`](crate::SessionLayer::per_tenant): in axum, `Extension<RequestTenant>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTenant(Arc<str>);

impl RequestTenant {
    /// Its name, as the resolver found it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

type Choose<B> = dyn Fn(&str) -> Result<B> + Send + Sync;

/// Where a layer has its backend from.
pub(crate) enum Source<B> {
    One(B),
    PerTenant(Arc<PerTenant<B>>),
}

pub(crate) struct PerTenant<B> {
    resolver: TenantResolver,
    choose: Box<Choose<B>>,
}

impl<B: Clone> Clone for Source<B> {
    fn clone(&self) -> Self {
        match self {
            Self::One(backend) => Self::One(backend.clone()),
            Self::PerTenant(tenants) => Self::PerTenant(Arc::clone(tenants)),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Source<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(backend) => backend.fmt(f),
            Self::PerTenant(tenants) => tenants.resolver.fmt(f),
        }
    }
}

impl<B: SessionBackend> PerTenant<B> {
    pub(crate) fn new(
        resolver: TenantResolver,
        choose: impl Fn(&str) -> Result<B> + Send + Sync + 'static,
    ) -> Self {
        Self { resolver, choose: Box::new(choose) }
    }

    /// What responses depend on beside the session.
    pub(crate) fn vary(&self) -> Option<&str> {
        self.resolver.vary()
    }

    /// The tenant of a request and its backend, which is `None` inside a layer that has opened the tenant's session
    /// already; or the answer that takes the place of the handler's.
    pub(crate) fn choose<Body>(
        &self,
        request: &Request<Body>,
        shared: &Shared,
        is_inner: bool,
    ) -> Result<(RequestTenant, Option<B>), Box<Outcome>> {
        let engine = &shared.engine;
        let refuse = |error| Box::new(engine.no_backend(&self.resolver, &error));
        if shared.stale_by_tenant {
            return Err(refuse(misfit(
                "stale reads of many tenants: put a `StaleBackend` around the store they share",
            )));
        }
        let head = Head { uri: request.uri(), headers: request.headers() };
        let tenant: RequestTenant = match self.resolver.resolve(&head) {
            Ok(tenant) => RequestTenant(tenant.into()),
            Err(why) => return Err(Box::new(engine.no_tenant(&self.resolver, why))),
        };
        if !is_inner {
            let backend = (self.choose)(tenant.as_str()).map_err(refuse)?;
            return Ok((tenant, Some(backend)));
        }
        if request.extensions().get::<RequestTenant>() == Some(&tenant) {
            return Ok((tenant, None));
        }
        Err(refuse(misfit("a session layer around this one has the same cookie and not the same tenant")))
    }
}

fn misfit(message: &'static str) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, "choose backend").with_message(message)
}

struct Head<'a> {
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

impl RequestHead for Head<'_> {
    fn path(&self) -> &str {
        self.uri.path()
    }

    fn authority(&self) -> Option<&str> {
        self.uri.authority().map(http::uri::Authority::as_str)
    }

    fn header(&self, name: &str, nth: usize) -> Option<&[u8]> {
        self.headers.get_all(name).iter().nth(nth).map(HeaderValue::as_bytes)
    }
}
