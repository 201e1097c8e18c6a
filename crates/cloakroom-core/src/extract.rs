use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::SessionBackend;
use crate::error::{ErrorKind, SessionError};
use crate::field::TypedSession;
use crate::session::Session;

/// Why a handler did not get its session.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionRejection {
    /// No session layer of that backend type is around the handler: 500.
    NoLayer,
    /// The session could not be loaded: 503 with `Retry-After` when the store is down, else 500.
    Load(SessionError),
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::NoLayer => {
                tracing::error!(target: "cloakroom", "no SessionLayer of this backend type is around the handler");
                answer(StatusCode::INTERNAL_SERVER_ERROR, None, FAILED)
            }
            Self::Load(error) => error.into_response(),
        }
    }
}

const FAILED: &str = "Your session could not be used.";

/// So that handlers can return it with `?`: 503 with `Retry-After` for what may work a little later, 503 for a limit or a
/// full store, 409 for a session that ended meanwhile, else 500. The text tells nothing of the error; the log does.
impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let (status, retry_after, text) = match self.kind() {
            ErrorKind::Unavailable => {
                let text = "Sessions cannot be reached at the moment. Please try again shortly.";
                (StatusCode::SERVICE_UNAVAILABLE, Some("5"), text)
            }
            ErrorKind::Conflict => {
                let text = "Your session is being changed by other requests. Please try again.";
                (StatusCode::SERVICE_UNAVAILABLE, Some("1"), text)
            }
            ErrorKind::Gone => {
                let text = "Your session ended while this request was under way. Please sign in again.";
                (StatusCode::CONFLICT, None, text)
            }
            ErrorKind::QuotaExceeded => {
                let text = "There is no room for another session at the moment. Please try again later.";
                (StatusCode::SERVICE_UNAVAILABLE, None, text)
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, None, FAILED),
        };
        tracing::error!(target: "cloakroom", error = %self, "a request failed over its session");
        answer(status, retry_after, text)
    }
}

fn answer(status: StatusCode, retry_after: Option<&'static str>, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    response
}

async fn session<B: SessionBackend>(parts: &Parts) -> Result<Session<B>, SessionRejection> {
    let session = parts.extensions.get::<Session<B>>().cloned().ok_or(SessionRejection::NoLayer)?;
    session.load().await.map_err(SessionRejection::Load)?;
    Ok(session)
}

/// The session of the request, loaded: one backend call for the first extractor of a request, if the client sent a
/// key.
impl<B: SessionBackend, S: Sync> FromRequestParts<S> for Session<B> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        session(parts).await
    }
}

/// `None` where no session layer of that backend type is around the handler. A store that is down is not `None`.
impl<B: SessionBackend, S: Sync> OptionalFromRequestParts<S> for Session<B> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Self::Rejection> {
        match session(parts).await {
            Ok(session) => Ok(Some(session)),
            Err(SessionRejection::NoLayer) => Ok(None),
            Err(rejection) => Err(rejection),
        }
    }
}

/// The session of the request as a struct; see [`TypedSession::open`].
impl<T, B, S> FromRequestParts<S> for TypedSession<T, B>
where
    T: Serialize + DeserializeOwned,
    B: SessionBackend,
    S: Sync,
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Self::open(&session(parts).await?).map_err(SessionRejection::Load)
    }
}
