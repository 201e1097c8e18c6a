use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use cloakroom_core::{Session, SessionBackend};
use cloakroom_http::Outcome;
use http::Response;
use pin_project_lite::pin_project;

use crate::layer::Shared;
use crate::response::{apply, vary_by_tenant};

type Closing<ResBody> = Pin<Box<dyn Future<Output = Response<ResBody>> + Send>>;

pin_project! {
    /// The future of a [`SessionService`](crate::SessionService). It allocates only when the session is to be saved or
    /// extended.
    pub struct ResponseFuture<F, ResBody, B: SessionBackend> {
        #[pin]
        inner: Option<F>,
        opened: Option<(Session<B>, bool, Arc<Shared>)>,
        closing: Option<Closing<ResBody>>,
    }
}

impl<F, ResBody, B: SessionBackend> ResponseFuture<F, ResBody, B> {
    /// An outer layer looks after the session.
    pub(crate) fn passing(inner: F) -> Self {
        Self { inner: Some(inner), opened: None, closing: None }
    }

    /// The handler is not asked.
    pub(crate) fn refused(outcome: Outcome) -> Self
    where
        ResBody: Default + Send + 'static,
    {
        let response = async { apply(outcome, Response::new(ResBody::default())) };
        Self { inner: None, opened: None, closing: Some(Box::pin(response)) }
    }

    pub(crate) fn new(inner: F, session: Session<B>, presented: bool, shared: Arc<Shared>) -> Self {
        Self { inner: Some(inner), opened: Some((session, presented, shared)), closing: None }
    }
}

impl<F, ResBody, E, B> Future for ResponseFuture<F, ResBody, B>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: Default + Send + 'static,
    B: SessionBackend,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.closing.is_none()
            && let Some(inner) = this.inner.as_pin_mut()
        {
            let response = ready!(inner.poll(context))?;
            let Some((session, presented, shared)) = this.opened.take() else {
                return Poll::Ready(Ok(response));
            };
            let status = response.status().as_u16();
            if let Some(outcome) = shared.engine.close_now(&session, presented, status) {
                return Poll::Ready(Ok(vary_by_tenant(&shared, apply(outcome, response))));
            }
            *this.closing = Some(Box::pin(async move {
                let outcome = shared.engine.close_later(&session, presented).await;
                vary_by_tenant(&shared, apply(outcome, response))
            }));
        }
        match this.closing {
            Some(closing) => closing.as_mut().poll(context).map(Ok),
            None => Poll::Pending,
        }
    }
}

impl<F, ResBody, B: SessionBackend> fmt::Debug for ResponseFuture<F, ResBody, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("saving", &self.closing.is_some()).finish_non_exhaustive()
    }
}
