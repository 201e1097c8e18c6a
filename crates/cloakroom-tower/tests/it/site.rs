//! A site with one handler for each request, and browsers that visit it.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::handler::Handler;
use axum::response::Response;
use axum::{Router, http};
use cloakroom_core::*;
use cloakroom_testkit::{Calls, Faulty, Spy};
use cloakroom_tower::{Refusal, SessionLayer};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

pub type Store = Faulty<InMemorySessionBackend>;

/// What observers were told.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<Vec<SessionEvent>>>);

impl SessionObserver for Events {
    fn notify(&self, event: &SessionEvent) {
        self.0.lock().unwrap().push(*event);
    }
}

impl Events {
    pub fn security(&self) -> Vec<SecurityEvent> {
        let events = self.0.lock().unwrap();
        let security = events.iter().filter_map(|event| match event {
            SessionEvent::Security(security) => Some(*security),
            _ => None,
        });
        security.collect()
    }
}

#[derive(Clone)]
pub struct Site {
    pub clock: ManualClock,
    pub spy: Spy<Store>,
    pub events: Events,
    pub layer: SessionLayer,
}

impl Site {
    pub fn new() -> Self {
        Self::with(SessionConfig::default(), |layer| layer)
    }

    pub fn with(config: SessionConfig, change: impl FnOnce(SessionLayer) -> SessionLayer) -> Self {
        let clock = ManualClock::new();
        let spy = Spy::new(Faulty::new(InMemorySessionBackend::with_clock(clock.clock())));
        let events = Events::default();
        let layer = SessionLayer::new(spy.clone()).with_config(config.with_observer(events.clone()));
        Self { clock, spy, events, layer: change(layer) }
    }

    pub fn store(&self) -> &Store {
        self.spy.inner()
    }

    /// How many live sessions there are.
    pub async fn sessions(&self) -> u64 {
        self.store().inner().count(&Filter::everywhere()).await.unwrap()
    }

    pub async fn send<H, T>(&self, request: Request<Body>, handler: H) -> Answer
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let app: Router = Router::new().fallback(handler).layer(self.layer.clone());
        Answer::of(app.oneshot(request).await.unwrap()).await
    }

    pub async fn cookie<H, T>(&self, cookie: &str, handler: H) -> Answer
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.send(Request::builder().header("cookie", cookie).body(Body::empty()).unwrap(), handler).await
    }

    /// A browser whose session has `user` = 1.
    pub async fn visitor(&self) -> Browser {
        let mut browser = Browser::new(self);
        browser.visit(async |session: Session| session.set("user", 1).unwrap()).await;
        assert!(browser.cookie.is_some());
        self.spy.reset();
        browser
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    pub refusal: Option<Refusal>,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let refusal = parts.extensions.get().copied();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
            refusal,
        }
    }

    pub fn all(&self, name: impl header::AsHeaderName) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub fn cookies(&self) -> Vec<&str> {
        self.all(header::SET_COOKIE)
    }

    /// The only cookie there is.
    pub fn cookie(&self) -> &str {
        assert_eq!(self.cookies().len(), 1, "{:?}", self.cookies());
        self.cookies()[0]
    }

    pub fn vary(&self) -> Vec<&str> {
        self.all(header::VARY)
    }

    pub fn cache_control(&self) -> Vec<&str> {
        self.all(header::CACHE_CONTROL)
    }

    pub fn is_removal(&self) -> bool {
        self.cookie().contains("=; ")
            && self.cookie().contains("Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
    }
}

/// Keeps the cookie that it is given.
#[derive(Clone)]
pub struct Browser {
    site: Site,
    pub cookie: Option<String>,
}

impl Browser {
    pub fn new(site: &Site) -> Self {
        Self { site: site.clone(), cookie: None }
    }

    pub async fn visit<H, T>(&mut self, handler: H) -> Answer
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let mut request = Request::builder();
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let answer = self.site.send(request.body(Body::empty()).unwrap(), handler).await;
        for line in answer.cookies() {
            let pair = line.split("; ").next().unwrap();
            let value = pair.split_once('=').unwrap().1;
            self.cookie = (!value.is_empty()).then(|| pair.to_owned());
        }
        answer
    }

    /// Visits, and counts the backend calls.
    pub async fn count<H, T>(&mut self, handler: H) -> Calls
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.site.spy.reset();
        self.visit(handler).await;
        self.site.spy.calls()
    }

    pub fn key(&self) -> &str {
        self.cookie.as_deref().unwrap().split_once('=').unwrap().1
    }

    pub fn id(&self) -> SessionId {
        SessionKey::parse(self.key(), &Capability::store()).unwrap().id()
    }

    pub async fn user(&mut self) -> Option<i32> {
        let answer =
            self.visit(async |session: Session| format!("{:?}", session.get::<i32>("user").unwrap())).await;
        answer.body.strip_prefix("Some(").map(|rest| rest.trim_end_matches(')').parse().unwrap())
    }
}
