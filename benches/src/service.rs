//! Crates that hand out their session only inside a request: their layer around a plain function, without a router.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::response::Response;
use http::HeaderValue;
use http::header::{COOKIE, SET_COOKIE};
use ruts::store::moka::MokaStore;
use serde::Serialize;
use tokio::runtime::Runtime;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use crate::data::{Payload, Sink, WANTED};
use crate::store::{SESSIONS, ruts_store, ruts_ttl};

/// A service with the paths `/read`, `/increment` and `/create`.
#[derive(Clone)]
pub struct Sessions(BoxCloneSyncService<Request, Response, Infallible>);

impl Sessions {
    pub async fn send(&self, path: &'static str, cookie: Option<&HeaderValue>) {
        black_box(self.answer(path, cookie).await);
    }

    async fn answer(&self, path: &'static str, cookie: Option<&HeaderValue>) -> Response {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static(path);
        if let Some(cookie) = cookie {
            request.headers_mut().insert(COOKIE, cookie.clone());
        }
        self.0.clone().oneshot(request).await.expect("infallible")
    }

    /// New sessions, as `Cookie` headers.
    pub async fn sessions(&self) -> Arc<Vec<HeaderValue>> {
        let mut cookies = Vec::new();
        for _ in 0..SESSIONS {
            let response = self.answer("/create", None).await;
            let lines = response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
            let pairs: Vec<_> = lines.filter_map(|line| line.split(';').next()).collect();
            cookies.push(pairs.join("; ").parse().expect("a header value"));
        }
        Arc::new(cookies)
    }
}

struct Ruts<'a>(&'a ruts::Session<MokaStore>);

impl Sink for Ruts<'_> {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.set(name, value, ruts_ttl(), None).await.expect("set");
    }
}

pub fn ruts<P: Payload>() -> Sessions {
    let inner = service_fn(async |request: Request| {
        let (mut parts, _) = request.into_parts();
        let session =
            ruts::Session::<MokaStore>::from_request_parts(&mut parts, &()).await.expect("a session");
        match parts.uri.path() {
            "/create" => P::make_once().fill(&mut Ruts(&session)).await,
            path => {
                let mut value: P::Wanted = session.get(WANTED).await.expect("readable").expect("there");
                if path == "/increment" {
                    P::change(&mut value);
                    session.set(WANTED, &value, ruts_ttl(), None).await.expect("set");
                }
                black_box(value);
            }
        }
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let options = ruts::CookieOptions::build().name("id").path("/");
    let inner = ruts::SessionLayer::new(Arc::new(ruts_store())).with_cookie_options(options).layer(inner);
    Sessions(BoxCloneSyncService::new(tower_cookies::CookieManagerLayer::new().layer(inner)))
}

type Pool = axum_session::SessionNullPool;

struct Axum<'a>(&'a axum_session::Session<Pool>);

impl Sink for Axum<'_> {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.set(name, value);
    }
}

pub fn axum_session<P: Payload>(rt: &Runtime) -> Sessions {
    let config = axum_session::SessionConfig::default();
    let store = rt.block_on(axum_session::SessionStore::<Pool>::new(None, config)).expect("a store");
    let inner = service_fn(async |request: Request| {
        let session = request.extensions().get::<axum_session::Session<Pool>>().expect("a session");
        match request.uri().path() {
            "/create" => P::make_once().fill(&mut Axum(session)).await,
            path => {
                let mut value: P::Wanted = session.get(WANTED).expect("there");
                if path == "/increment" {
                    P::change(&mut value);
                    session.set(WANTED, &value);
                }
                black_box(value);
            }
        }
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let _inside = rt.enter();
    Sessions(BoxCloneSyncService::new(axum_session::SessionLayer::new(store).layer(inner)))
}
