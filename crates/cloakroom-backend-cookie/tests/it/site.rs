//! A site whose sessions live in cookies, and a browser that keeps what it is given.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::handler::Handler;
use cloakroom_backend_cookie::{CookieSessionBackend, KeyRing, SealKey};
use cloakroom_core::{ManualClock, Session, SessionBackend};
use cloakroom_tower::{CookieConfig, SessionLayer};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

pub(crate) const NAME: &str = "__Host-id";

pub(crate) fn ring(seeds: &[u8]) -> KeyRing {
    KeyRing::new(seeds.iter().map(|&seed| SealKey::from_bytes([seed; 32]))).unwrap()
}

pub(crate) struct Site {
    pub(crate) clock: ManualClock,
    pub(crate) layer: SessionLayer,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::on(&ManualClock::new(), |backend| backend)
    }

    pub(crate) fn on<B: SessionBackend>(
        clock: &ManualClock,
        change: impl FnOnce(CookieSessionBackend) -> B,
    ) -> Self {
        let backend = CookieSessionBackend::new(ring(&[1])).with_clock(clock.clock());
        Self { clock: clock.clone(), layer: SessionLayer::new(change(backend)) }
    }

    /// Splits over so many cookies, on both sides.
    pub(crate) fn split(cookies: usize) -> Self {
        let mut site = Self::on(&ManualClock::new(), |backend| backend.with_split(cookies).unwrap());
        let cookie = CookieConfig::builder().with_split(cookies).build().unwrap();
        site.layer = site.layer.with_cookie(cookie);
        site
    }

    pub(crate) async fn send<H, T>(&self, cookies: &str, handler: H) -> Answer
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let app: Router = Router::new().fallback(handler).layer(self.layer.clone());
        let request = Request::builder().header("cookie", cookies).body(Body::empty()).unwrap();
        let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
    }
}

/// Keeps cookies as a browser does, but for their expiry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Browser(pub(crate) BTreeMap<String, String>);

impl Browser {
    pub(crate) fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn value(&self) -> &str {
        &self.0[NAME]
    }

    pub(crate) async fn visit<H, T>(&mut self, site: &Site, handler: H) -> Answer
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let answer = site.send(&self.header(), handler).await;
        for line in answer.cookies() {
            let (name, value) = line.split("; ").next().unwrap().split_once('=').unwrap();
            // What a browser refuses to keep must not be sent in the first place (ST-50).
            assert!(name.len() + value.len() <= 4096);
            if line.contains("; Max-Age=0;") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Sets `name` to a text of that length.
    pub(crate) async fn fill(&mut self, site: &Site, name: &'static str, length: usize) -> Answer {
        let handler = async move |session: Session| session.set(name, "x".repeat(length)).unwrap();
        self.visit(site, handler).await
    }

    /// The value of `visits` in the session, without changing anything.
    pub(crate) async fn visits(&mut self, site: &Site) -> Option<u32> {
        let show = async |session: Session| format!("{:?}", session.get::<u32>("visits").unwrap());
        let answer = self.visit(site, show).await;
        answer.body.strip_prefix("Some(").map(|rest| rest.trim_end_matches(')').parse().unwrap())
    }
}

pub(crate) async fn increment(session: Session) -> String {
    let visits = session.update("visits", |visits: Option<u32>| visits.unwrap_or(0) + 1).unwrap();
    visits.to_string()
}
