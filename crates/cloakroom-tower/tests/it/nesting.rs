//! Layers within layers.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use cloakroom_core::*;
use cloakroom_tower::{CookieConfig, SessionLayer};
use tower::ServiceExt;

use crate::site::{Answer, Site};

async fn visit(app: Router, uri: &str, cookie: Option<&str>) -> Answer {
    let mut request = Request::builder().uri(uri);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    Answer::of(app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
}

async fn count(session: Session) -> String {
    session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1).unwrap().to_string()
}

#[tokio::test]
async fn layer_around_a_nested_router_too_gives_one_session_and_one_save() {
    let site = Site::new();
    let again = SessionLayer::new(site.spy.clone());
    for inner in [site.layer.clone(), again] {
        let nested = Router::new().route("/", get(count)).layer(inner);
        let app = Router::new().nest("/shop", nested).layer(site.layer.clone());
        let answer = visit(app.clone(), "/shop", None).await;
        let cookie = answer.cookie().split(';').next().unwrap();
        site.spy.reset();
        let answer = visit(app, "/shop", Some(cookie)).await;
        assert_eq!((answer.body.as_str(), answer.cookies().len(), answer.vary()), ("2", 0, vec!["Cookie"]));
        assert_eq!(site.spy.calls().total(), 2);
    }
}

#[tokio::test]
async fn layers_with_cookies_and_backends_of_their_own_keep_two_sessions() {
    type Admin = Session<InMemorySessionBackend>;

    async fn both(user: Session, admin: Admin) -> String {
        user.set("role", "user").unwrap();
        admin.set("role", "admin").unwrap();
        format!("{:?} {:?}", user.get::<String>("role").unwrap(), admin.get::<String>("role").unwrap())
    }
    let site = Site::new();
    let admin = CookieConfig::builder().with_name("__Host-admin").build().unwrap();
    let store = InMemorySessionBackend::new();
    let app = Router::new()
        .route("/", get(both))
        .layer(SessionLayer::typed(store.clone()).with_cookie(admin))
        .layer(site.layer.clone());
    let answer = visit(app.clone(), "/", None).await;
    assert_eq!(answer.body, "Some(\"user\") Some(\"admin\")");
    let names: Vec<_> = answer.cookies().iter().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(names, ["__Host-admin", "__Host-id"]);
    // CV-28: the cookie of one is none of the other.
    let value = answer.cookies()[1].split(';').next().unwrap().replace("__Host-id", "__Host-admin");
    let before = store.statistics().hits;
    visit(app, "/", Some(&value)).await;
    assert_eq!(store.statistics().hits, before);
}

// The same type of backend twice: the inner cookie is the one that handlers see.
#[tokio::test]
async fn inner_layer_with_another_cookie_has_a_session_of_its_own() {
    let site = Site::new();
    let other = CookieConfig::builder().with_name("__Host-other").build().unwrap();
    let inner = SessionLayer::new(site.spy.clone()).with_cookie(other);
    let app = Router::new().route("/", get(count)).layer(inner).layer(site.layer.clone());
    let answer = visit(app, "/", None).await;
    assert!(answer.cookie().starts_with("__Host-other="));
}

#[tokio::test]
async fn handler_outside_any_layer_gets_500_and_an_optional_session_none() {
    let answer = visit(Router::new().route("/", get(count)), "/", None).await;
    assert_eq!(answer.status.as_u16(), 500);
    let optional = async |session: Option<Session>| session.is_none().to_string();
    assert_eq!(visit(Router::new().route("/", get(optional)), "/", None).await.body, "true");
}

#[tokio::test]
async fn typed_layer_gives_handlers_the_backend_as_it_is() {
    async fn handler(session: Session<InMemorySessionBackend>) -> String {
        session.set("a", 1).unwrap();
        session.backend().statistics().writes.to_string()
    }
    let layer = SessionLayer::typed(InMemorySessionBackend::new());
    let answer = visit(Router::new().route("/", get(handler)).layer(layer), "/", None).await;
    assert_eq!((answer.body.as_str(), answer.cookies().len()), ("0", 1));
}
