use std::convert::Infallible;

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
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        match self {
            Self::NoLayer => {
                tracing::error!(target: "cloakroom", "no SessionLayer of this backend type is around the handler");
            }
            Self::Load(error) => {
                tracing::error!(target: "cloakroom", %error, "loading the session failed");
                if error.kind() == ErrorKind::Unavailable {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                }
            }
        }
        response
    }
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

/// `None` where no session layer is around the handler or the session cannot be loaded.
impl<B: SessionBackend, S: Sync> OptionalFromRequestParts<S> for Session<B> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(session(parts).await.ok())
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
