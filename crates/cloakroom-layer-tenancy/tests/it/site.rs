//! Two tenants in one router, over one store.

use axum::body::Body;
use axum::extract::Extension;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::{Router, routing::get};
use cloakroom_core::{
    ErrorKind, Filter, InMemorySessionBackend, SecurityEvent, Session, SessionBackend, SessionConfig,
    SessionError, SessionEvent, SessionObserver,
};
use cloakroom_layer_tenancy::{TenantConfig, TenantSessionBackend, TenantSessionOperations, Tenants};
use cloakroom_tower::{Refusal, RequestTenant, SessionLayer, StoreDown, TenantResolver, UnknownTenant};
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt;

type Store = Tenants<InMemorySessionBackend>;

#[derive(Clone, Debug, Default)]
struct Events(Arc<Mutex<Vec<SessionEvent>>>);

impl SessionObserver for Events {
    fn notify(&self, event: &SessionEvent) {
        self.0.lock().unwrap().push(*event);
    }
}

impl Events {
    fn unknown_tenants(&self) -> usize {
        let unknown = SessionEvent::Security(SecurityEvent::UnknownTenant);
        self.0.lock().unwrap().iter().filter(|event| **event == unknown).count()
    }
}

fn store() -> Store {
    Tenants::new(InMemorySessionBackend::new(), TenantConfig::default())
        .with_known(|tenant| ["acme", "globex"].contains(&tenant.as_str()))
}

fn by(resolver: TenantResolver, tenants: &Store) -> SessionLayer {
    let tenants = tenants.clone();
    SessionLayer::per_tenant(resolver, move |tenant| tenants.of(tenant))
}

async fn count(Extension(tenant): Extension<RequestTenant>, session: Session) -> String {
    let count = session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1).unwrap();
    format!("{} {count}", tenant.as_str())
}

fn site(layer: SessionLayer) -> Router {
    Router::new().fallback(get(count)).layer(layer)
}

fn get_from(uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

async fn visit(app: &Router, request: Request<Body>) -> (StatusCode, String, Option<String>, Response<()>) {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let cookie = parts.headers.get("set-cookie");
    let cookie = cookie.map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned());
    (parts.status, body, cookie, Response::from_parts(parts, ()))
}

/// CV-28, CV-01, CV-12: what opens a session of one tenant opens nothing of another, and is not taken over.
#[tokio::test]
async fn cookie_of_one_tenant_is_no_session_of_another() {
    let tenants = store();
    let app = site(by(TenantResolver::subdomain("shop.example").unwrap(), &tenants));
    let (_, body, cookie, _) = visit(&app, get_from("/", &[("host", "acme.shop.example")])).await;
    assert_eq!(body, "acme 1");
    let cookie = cookie.unwrap();
    let again = visit(&app, get_from("/", &[("host", "ACME.Shop.example.:443"), ("cookie", &cookie)])).await;
    assert_eq!(again.1, "acme 2");
    let (_, body, theirs, _) =
        visit(&app, get_from("/", &[("host", "globex.shop.example"), ("cookie", &cookie)])).await;
    assert_eq!(body, "globex 1");
    assert_ne!(theirs.unwrap(), cookie, "a key of its own");
    for tenant in ["acme", "globex"] {
        assert_eq!(tenants.of(tenant).unwrap().count_sessions().await.unwrap(), 1);
    }
    assert_eq!(tenants.inner().count(&Filter::unscoped()).await.unwrap(), 0, "none outside the tenants");
    let still = visit(&app, get_from("/", &[("host", "acme.shop.example"), ("cookie", &cookie)])).await;
    assert_eq!(still.1, "acme 3");
}

#[tokio::test]
async fn request_for_no_tenant_never_reaches_the_handler() {
    let (tenants, events) = (store(), Events::default());
    for (resolver, status) in [
        (TenantResolver::subdomain("shop.example").unwrap(), 404),
        (
            TenantResolver::subdomain("shop.example").unwrap().with_unknown_tenant(UnknownTenant::BadRequest),
            400,
        ),
    ] {
        let config = SessionConfig::default().with_observer(events.clone());
        let app = site(by(resolver, &tenants).with_config(config));
        let bad: [&[(&str, &str)]; 8] = [
            &[],
            &[("host", "shop.example")],
            &[("host", "nobody.shop.example")],
            &[("host", "acme.elsewhere.example")],
            &[("host", "www.acme.shop.example")],
            &[("host", "127.0.0.1")],
            &[("host", "acme.shop.example"), ("host", "acme.shop.example")],
            &[("host", "shop.example"), ("x-forwarded-host", "acme.shop.example")],
        ];
        for headers in bad {
            let before = events.unknown_tenants();
            let (found, body, cookie, response) = visit(&app, get_from("/", headers)).await;
            assert_eq!((found.as_u16(), body.as_str(), cookie), (status, "", None), "{headers:?}");
            assert_eq!(response.extensions().get::<Refusal>().unwrap().kind, ErrorKind::InvalidKey);
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert_eq!(events.unknown_tenants(), before + 1, "{headers:?}");
        }
        // In HTTP/2 the host is in the target, and has to agree with what else there is.
        let target = "https://acme.shop.example/";
        assert_eq!(visit(&app, get_from(target, &[])).await.1, "acme 1");
        let other = visit(&app, get_from(target, &[("host", "globex.shop.example")])).await;
        assert_eq!(other.0.as_u16(), status);
    }
    let errors = SessionLayer::per_tenant(TenantResolver::host(), |_| {
        Err::<InMemorySessionBackend, _>(SessionError::new(ErrorKind::Unavailable, "choose backend"))
    });
    assert_eq!(visit(&site(errors), get_from("/", &[("host", "a")])).await.0.as_u16(), 503);
}

#[tokio::test]
async fn header_and_path_name_tenants_too() {
    let tenants = store();
    let app = site(by(TenantResolver::header("X-Tenant").unwrap(), &tenants));
    let (_, body, _, response) = visit(&app, get_from("/", &[("x-tenant", "acme")])).await;
    assert_eq!(body, "acme 1");
    let vary: Vec<_> =
        response.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    let vary = vary.join(", ").to_ascii_lowercase();
    assert!(vary.contains("cookie") && vary.contains("x-tenant"), "{vary}");
    let two = visit(&app, get_from("/", &[("x-tenant", "acme"), ("x-tenant", "globex")])).await;
    assert_eq!((two.0.as_u16(), two.3.headers()["vary"].to_str().unwrap()), (404, "x-tenant"));

    let app = site(by(TenantResolver::path_segment(1), &tenants));
    assert_eq!(visit(&app, get_from("/t/globex/cart", &[])).await.1, "globex 1");
    for path in
        ["/", "/t", "/t/", "/t//globex", "//globex", "/./globex", "/t/glob%65x/", "/t/../globex", "/t/Globex"]
    {
        assert_eq!(visit(&app, get_from(path, &[])).await.0.as_u16(), 404, "{path}");
    }
}

#[tokio::test]
async fn typed_layer_gives_the_tenants_backend() {
    type Mine = Session<TenantSessionBackend<InMemorySessionBackend>>;
    let tenants = store();
    let layer = SessionLayer::per_tenant_typed(TenantResolver::header("x-tenant").unwrap(), {
        let tenants = tenants.clone();
        move |tenant| tenants.of(tenant)
    });
    let handler = async |session: Mine| {
        session.set_owner("user:1").unwrap();
        session.save().await.unwrap();
        session.backend().tenant().to_string()
    };
    let app = Router::new().route("/", get(handler)).layer(layer);
    for tenant in ["acme", "globex"] {
        assert_eq!(visit(&app, get_from("/", &[("x-tenant", tenant)])).await.1, tenant);
    }
    // Lists of an owner are the tenant's.
    let owner = cloakroom_core::Owner::parse("user:1").unwrap();
    let mine = Filter::everywhere().with_owner(owner);
    assert_eq!(tenants.of("acme").unwrap().count(&mine).await.unwrap(), 1);
}

#[tokio::test]
async fn layer_within_a_layer_is_one_session_where_the_tenant_is_the_same() {
    let tenants = store();
    let header = || TenantResolver::header("x-tenant").unwrap();
    let twice = site(by(header(), &tenants)).layer(by(header(), &tenants));
    let (_, body, cookie, response) = visit(&twice, get_from("/", &[("x-tenant", "acme")])).await;
    assert_eq!((body.as_str(), response.headers().get_all("set-cookie").iter().count()), ("acme 1", 1));
    let cookie = cookie.unwrap();
    let again = visit(&twice, get_from("/", &[("x-tenant", "acme"), ("cookie", &cookie)])).await;
    assert_eq!(again.1, "acme 2");
    // Another tenant inside, or none outside: the session there is not this tenant's.
    let crossed = site(by(TenantResolver::path_segment(0), &tenants)).layer(by(header(), &tenants));
    assert_eq!(visit(&crossed, get_from("/acme", &[("x-tenant", "acme")])).await.1, "acme 1");
    assert_eq!(visit(&crossed, get_from("/globex", &[("x-tenant", "acme")])).await.0.as_u16(), 500);
    let bare = site(by(header(), &tenants)).layer(SessionLayer::new(tenants.inner().clone()));
    assert_eq!(visit(&bare, get_from("/", &[("x-tenant", "acme")])).await.0.as_u16(), 500);
    // A layer without tenants inside leaves the session to the outer one.
    let inside = site(SessionLayer::new(tenants.inner().clone())).layer(by(header(), &tenants));
    assert_eq!(visit(&inside, get_from("/", &[("x-tenant", "acme")])).await.1, "acme 1");
    assert_eq!(tenants.inner().count(&Filter::unscoped()).await.unwrap(), 0);
}

#[tokio::test]
async fn stale_reads_on_the_layer_are_refused_rather_than_ignored() {
    let header = TenantResolver::header("x-tenant").unwrap();
    let stale = StoreDown::StaleReads { capacity: 10, max_age: Duration::from_secs(9) };
    let layer = by(header, &store()).with_store_down(stale);
    assert_eq!(visit(&site(layer.clone()), get_from("/", &[("x-tenant", "acme")])).await.0.as_u16(), 500);
    let layer = layer.with_store_down(StoreDown::Degrade);
    assert_eq!(visit(&site(layer), get_from("/", &[("x-tenant", "acme")])).await.1, "acme 1");
}
