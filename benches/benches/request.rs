//! Requests through an axum router, in process: what a session layer adds to a bare router.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use cloakroom_bench::data::{Large, Nested, Payload, Sink, Small, WANTED};
use cloakroom_bench::run::{Outcome, one_thread};
use cloakroom_bench::store::{SESSIONS, ruts_store, ruts_ttl};
use cloakroom_bench::table::time;
use cloakroom_bench::{Bar, Cell, Measure, Report, Role, alloc};
use cloakroom_core::{InMemorySessionBackend, SessionBackend, SharedBackend};
use http::header::{COOKIE, SET_COOKIE};
use ruts::store::moka::MokaStore;
use serde::Serialize;
use tokio::runtime::Runtime;
use tower::Service;

/// New sessions go into an empty store that often.
const BATCH: usize = 512;

struct Ours<'a, B: SessionBackend>(&'a cloakroom_core::Session<B>);

impl<B: SessionBackend> Sink for Ours<'_, B> {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.set(name, value).expect("set");
    }
}

fn cloakroom<P: Payload, B: SessionBackend + Clone>(layer: cloakroom_tower::SessionLayer<B>) -> Router {
    type Session<B> = cloakroom_core::Session<B>;
    Router::new()
        .route("/untouched", get(async || "ok"))
        .route(
            "/read",
            get(async |session: Session<B>| {
                black_box(session.get::<P::Wanted>(WANTED).expect("readable").expect("there"));
                "ok"
            }),
        )
        .route(
            "/increment",
            get(async |session: Session<B>| {
                let change = |value: Option<P::Wanted>| {
                    let mut value = value.expect("there");
                    P::change(&mut value);
                    value
                };
                session.update(WANTED, change).expect("updated");
                "ok"
            }),
        )
        .route(
            "/create",
            get(async |session: Session<B>| {
                P::make_once().fill(&mut Ours(&session)).await;
                "ok"
            }),
        )
        .layer(layer)
}

struct Tower<'a>(&'a tower_sessions::Session);

impl Sink for Tower<'_> {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.insert(name, value).await.expect("inserted");
    }
}

fn tower_sessions<P: Payload>() -> Router {
    use tower_sessions::Session;
    let store = tower_sessions::MemoryStore::default();
    Router::new()
        .route("/untouched", get(async || "ok"))
        .route(
            "/read",
            get(async |session: Session| {
                black_box(session.get::<P::Wanted>(WANTED).await.expect("readable").expect("there"));
                "ok"
            }),
        )
        .route(
            "/increment",
            get(async |session: Session| {
                let mut value: P::Wanted = session.get(WANTED).await.expect("readable").expect("there");
                P::change(&mut value);
                session.insert(WANTED, &value).await.expect("inserted");
                "ok"
            }),
        )
        .route(
            "/create",
            get(async |session: Session| {
                P::make_once().fill(&mut Tower(&session)).await;
                "ok"
            }),
        )
        .layer(tower_sessions::SessionManagerLayer::new(store))
}

struct Ruts<'a>(&'a ruts::Session<MokaStore>);

impl Sink for Ruts<'_> {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.set(name, value, ruts_ttl(), None).await.expect("set");
    }
}

fn ruts<P: Payload>() -> Router {
    type Session = ruts::Session<MokaStore>;
    let options = ruts::CookieOptions::build().name("id").path("/");
    Router::new()
        .route("/untouched", get(async || "ok"))
        .route(
            "/read",
            get(async |session: Session| {
                black_box(session.get::<P::Wanted>(WANTED).await.expect("readable").expect("there"));
                "ok"
            }),
        )
        .route(
            "/increment",
            get(async |session: Session| {
                let mut value: P::Wanted = session.get(WANTED).await.expect("readable").expect("there");
                P::change(&mut value);
                session.set(WANTED, &value, ruts_ttl(), None).await.expect("set");
                "ok"
            }),
        )
        .route(
            "/create",
            get(async |session: Session| {
                P::make_once().fill(&mut Ruts(&session)).await;
                "ok"
            }),
        )
        .layer(ruts::SessionLayer::new(Arc::new(ruts_store())).with_cookie_options(options))
        .layer(tower_cookies::CookieManagerLayer::new())
}

type Pool = axum_session::SessionNullPool;

struct Axum<'a>(&'a axum_session::Session<Pool>);

impl Sink for Axum<'_> {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.set(name, value);
    }
}

fn axum_session<P: Payload>(rt: &Runtime) -> Router {
    type Session = axum_session::Session<Pool>;
    let config = axum_session::SessionConfig::default();
    let store = rt.block_on(axum_session::SessionStore::<Pool>::new(None, config)).expect("a store");
    let _inside = rt.enter();
    Router::new()
        .route("/untouched", get(async || "ok"))
        .route(
            "/read",
            get(async |session: Session| {
                black_box(session.get::<P::Wanted>(WANTED).expect("there"));
                "ok"
            }),
        )
        .route(
            "/increment",
            get(async |session: Session| {
                let mut value: P::Wanted = session.get(WANTED).expect("there");
                P::change(&mut value);
                session.set(WANTED, &value);
                "ok"
            }),
        )
        .route(
            "/create",
            get(async |session: Session| {
                P::make_once().fill(&mut Axum(&session)).await;
                "ok"
            }),
        )
        .layer(axum_session::SessionLayer::new(store))
}

fn bare() -> Router {
    let mut router = Router::new();
    for path in ["/untouched", "/read", "/increment", "/create"] {
        router = router.route(path, get(async || "ok"));
    }
    router
}

/// A layer that does nothing but insert one `Arc` into the request's extensions.
#[derive(Clone)]
struct Insert<S>(S, Arc<u64>);

impl<S: Service<Request>> Service<Request> for Insert<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        request.extensions_mut().insert(Arc::clone(&self.1));
        self.0.call(request)
    }
}

fn insert() -> Router {
    let value = Arc::new(1);
    bare().layer(tower::layer::layer_fn(move |inner| Insert(inner, Arc::clone(&value))))
}

fn request(path: &'static str, cookie: Option<&http::HeaderValue>) -> Request {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static(path);
    if let Some(cookie) = cookie {
        request.headers_mut().insert(COOKIE, cookie.clone());
    }
    request
}

async fn send(app: &mut Router, request: Request) -> axum::response::Response {
    let response = app.call(request).await.expect("infallible");
    debug_assert_eq!(response.status(), 200);
    response
}

/// Sessions made by requests, as `Cookie` headers.
async fn sessions(app: &mut Router) -> Vec<http::HeaderValue> {
    let mut cookies = Vec::new();
    for _ in 0..SESSIONS {
        let response = send(app, request("/create", None)).await;
        let pairs = response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs: Vec<_> = pairs.filter_map(|line| line.split(';').next()).collect();
        cookies.push(match pairs.is_empty() {
            true => http::HeaderValue::from_static("__Host-id=ppppppppppppppppppppppppppppppppppppppppppA"),
            false => pairs.join("; ").parse().expect("a header value"),
        });
    }
    cookies
}

fn contend<'a>(
    cell: Cell<'a>,
    rt: &'a Runtime,
    name: &str,
    role: Role,
    path: &'static str,
    make: impl Fn() -> Router + 'a,
) -> Cell<'a> {
    let mut app = make();
    let cookies = rt.block_on(sessions(&mut app));
    // The work must really be done.
    if matches!(role, Role::Ours | Role::Peer) {
        let body =
            |path| rt.block_on(async { send(&mut app.clone(), request(path, Some(&cookies[0]))).await });
        assert_eq!(body("/read").status(), 200, "{name}: the session is found");
    }
    let round = move |ops: u64| {
        let mut sum = Measure { time: Duration::ZERO, allocations: 0 };
        let mut left = ops as usize;
        while left > 0 {
            let batch = if path == "/create" { left.min(BATCH) } else { left };
            let mut app = if path == "/create" { make() } else { app.clone() };
            rt.block_on(async {
                let before = alloc::allocations();
                let start = Instant::now();
                for index in 0..batch {
                    let cookie = (path != "/create").then(|| &cookies[index % SESSIONS]);
                    black_box(send(&mut app, request(path, cookie)).await);
                }
                sum.time += start.elapsed();
                sum.allocations += alloc::allocations() - before;
            });
            left -= batch;
        }
        sum
    };
    cell.add(name, role, round)
}

fn cell<P: Payload>(report: &mut Report, rt: &Runtime, path: &'static str, bar: f64) {
    let name = format!("request, {}, {}", &path[1..], P::NAME);
    if !report.wants(&name) {
        return;
    }
    let mut cell = Cell::new(&name);
    cell = contend(cell, rt, "bare router", Role::Base, path, bare);
    if path == "/untouched" {
        cell = contend(cell, rt, "layer inserting an Arc", Role::Base, path, insert);
    }
    let erased = || cloakroom_tower::SessionLayer::new(InMemorySessionBackend::new());
    cell = contend(cell, rt, "cloakroom", Role::Ours, path, move || cloakroom::<P, SharedBackend>(erased()));
    let typed = || cloakroom_tower::SessionLayer::typed(InMemorySessionBackend::new());
    cell = contend(cell, rt, "cloakroom, typed", Role::Shown, path, move || cloakroom::<P, _>(typed()));
    cell = contend(cell, rt, "tower-sessions", Role::Peer, path, tower_sessions::<P>);
    cell = contend(cell, rt, "ruts", Role::Peer, path, ruts::<P>);
    cell = contend(cell, rt, "axum_session", Role::Peer, path, || axum_session::<P>(rt));
    let outcomes = cell.run();
    let of = |name: &str| outcomes.iter().find(|one| one.name == name).expect("it ran");
    let (ours, bare) = (of("cloakroom"), of("bare router"));
    if path == "/untouched" {
        report.compare_over(&name, &outcomes, Some("bare router"), Bar::None);
        let layer = of("layer inserting an Arc");
        let more = ours.best() - layer.best();
        let label = format!("{name}: time over a layer inserting an Arc (µs)");
        report.row(&label, &time(ours.best()), &time(layer.best()), more / 1e3, "≤ 0.4", more <= 400.0);
        let more = ours.allocations - layer.allocations;
        let label = format!("{name}: allocations over it");
        let counts = [ours, layer].map(|one| format!("{:.1}", one.allocations));
        report.row(&label, &counts[0], &counts[1], more, "≤ 2", more <= 2.01);
    } else {
        report.compare_over(&name, &outcomes, Some("bare router"), Bar::AtMost(bar));
    }
    let peers = outcomes.iter().filter(|one| one.role == Role::Peer);
    let best = peers.min_by(|a, b| a.allocations.total_cmp(&b.allocations)).expect("a peer");
    let added = |one: &Outcome| one.allocations - bare.allocations;
    report.row(
        &format!("{name}: allocations added"),
        &format!("{:.1}", added(ours)),
        &format!("{} {:.1}", best.name, added(best)),
        added(ours) / added(best),
        "≤ 1",
        added(ours) <= added(best) + 0.05,
    );
}

fn main() {
    let mut report = Report::new("request");
    report.note("added to a bare axum router; sessions of ten fields, the wanted field is the fifth");
    let rt = one_thread();
    cell::<Small>(&mut report, &rt, "/untouched", 1.0);
    for path in ["/read", "/increment", "/create"] {
        cell::<Small>(&mut report, &rt, path, 0.5);
        cell::<Large>(&mut report, &rt, path, 1.0);
        cell::<Nested>(&mut report, &rt, path, 1.0);
    }
    report.finish();
}
