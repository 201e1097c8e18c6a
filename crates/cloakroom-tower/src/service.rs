use std::sync::Arc;
use std::task::{Context, Poll};

use cloakroom_core::{Session, SessionBackend, SharedBackend};
use http::{HeaderValue, Request, Response};
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::layer::Shared;
use crate::tenant::Source;

/// The service of a [`SessionLayer`](crate::SessionLayer).
///
/// Any [`Service`] of HTTP requests can be inside. Handlers find the session in the extensions of the request, not
/// loaded yet:
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Session};
/// use cloakroom_tower::SessionLayer;
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let service = SessionLayer::new(InMemorySessionBackend::new()).layer(service_fn(
///     async |request: Request<String>| {
///         let session = request.extensions().get::<Session>().expect("inside the layer");
///         session.load().await?;
///         session.set("user", "ada")?;
///         Ok::<_, cloakroom_core::SessionError>(Response::new(String::new()))
///     },
/// ));
///
/// let response = service.oneshot(Request::new(String::new())).await?;
/// assert!(response.headers().contains_key("set-cookie"));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
///
/// The session is saved when the inner service has returned its response, before the headers go out; what a streamed
/// body changes later is not. Nothing is saved when the inner service fails or panics, or the future is dropped.
#[derive(Clone, Debug)]
pub struct SessionService<S, B = SharedBackend> {
    pub(crate) inner: S,
    pub(crate) source: Source<B>,
    pub(crate) shared: Arc<Shared>,
}

impl<S, B> SessionService<S, B> {
    /// The service inside.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S, B>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    B: SessionBackend + Clone,
    ResBody: Default + Send + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let engine = &self.shared.engine;
        let outer = request.extensions().get::<Session<B>>();
        let is_inner = outer.is_some_and(|outer| engine.is_place_of(outer));
        let headers = &self.shared.request_header;
        let opened = match &self.source {
            Source::One(_) if is_inner => return ResponseFuture::passing(self.inner.call(request)),
            Source::One(backend) => {
                if let Some(outcome) = engine.misfit() {
                    return ResponseFuture::refused(outcome);
                }
                let lines = request.headers().get_all(headers).iter().map(HeaderValue::as_bytes);
                engine.open(backend.clone(), lines)
            }
            Source::PerTenant(tenants) => {
                let (tenant, backend) = match tenants.choose(&request, &self.shared, is_inner) {
                    Ok(chosen) => chosen,
                    Err(outcome) => return ResponseFuture::refused(*outcome),
                };
                // An outer layer has chosen already.
                let Some(backend) = backend else {
                    return ResponseFuture::passing(self.inner.call(request));
                };
                let capability = backend.capability();
                if let Some(outcome) = engine.misfit_of(&capability) {
                    return ResponseFuture::refused(outcome);
                }
                let lines = request.headers().get_all(headers).iter().map(HeaderValue::as_bytes);
                let opened = engine.open_with(&capability, backend, lines);
                request.extensions_mut().insert(tenant);
                opened
            }
        };
        let session: Session<B> = opened.session;
        request.extensions_mut().insert(session.clone());
        let inner = self.inner.call(request);
        ResponseFuture::new(inner, session, opened.presented, Arc::clone(&self.shared))
    }
}
