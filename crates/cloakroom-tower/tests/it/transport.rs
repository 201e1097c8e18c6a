//! Keys in headers, and services that are not axum's.

use axum::body::Body;
use axum::http::{Request, Response};
use cloakroom_core::*;
use cloakroom_tower::{HeaderConfig, SessionLayer};
use tower::{Layer, ServiceExt, service_fn};

use crate::site::Site;

async fn user(session: Session) -> String {
    format!("{:?}", session.get::<i32>("user").unwrap())
}

// F69
#[tokio::test]
async fn bearer_key_is_read_from_authorization_and_answered_in_x_session() {
    let site =
        Site::with(SessionConfig::default(), |layer| layer.with_header_transport(HeaderConfig::bearer()));
    let empty = || Request::builder().body(Body::empty()).unwrap();
    let answer = site.send(empty(), async |session: Session| session.set("user", 1).unwrap()).await;
    assert_eq!((answer.cookies().len(), answer.vary()), (0, vec!["Authorization"]));
    assert_eq!(answer.cache_control(), ["no-store"]);
    let key = answer.all("x-session")[0].to_owned();
    let with = |value: String| Request::builder().header("authorization", value).body(Body::empty()).unwrap();
    assert_eq!(site.send(with(format!("Bearer {key}")), user).await.body, "Some(1)");
    assert_eq!(site.send(with(format!("Basic {key}")), user).await.body, "None");
    assert_eq!(site.cookie(&format!("__Host-id={key}"), user).await.body, "None", "ST-09");
    let answer = site
        .send(with(format!("Bearer {key}")), async |session: Session| session.flush().await.unwrap())
        .await;
    assert_eq!(answer.all("x-session"), [""]);
    assert_eq!(site.send(with(format!("Bearer {key}")), user).await.body, "None");
}

// F69
#[tokio::test]
async fn key_in_a_header_of_its_own_goes_both_ways() {
    let site =
        Site::with(SessionConfig::default(), |layer| layer.with_header_transport(HeaderConfig::default()));
    let empty = Request::builder().body(Body::empty()).unwrap();
    let answer = site.send(empty, async |session: Session| session.set("user", 1).unwrap()).await;
    let key = answer.all("x-session")[0].to_owned();
    let request = Request::builder().header("X-Session", &key).body(Body::empty()).unwrap();
    let answer = site.send(request, user).await;
    assert_eq!((answer.body.as_str(), answer.vary()), ("Some(1)", vec!["X-Session"]));
    assert_eq!(answer.all("x-session").len(), 0, "the client has it");
}

// F60: any service, any body.
#[tokio::test]
async fn plain_service_finds_its_session_in_the_extensions() {
    let backend = InMemorySessionBackend::new();
    let service =
        SessionLayer::typed(backend.clone()).layer(service_fn(async |request: Request<&'static str>| {
            let session = request.extensions().get::<Session<InMemorySessionBackend>>().unwrap().clone();
            session.load().await?;
            let visits = session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
            Ok::<_, SessionError>(Response::new(visits))
        }));
    let response = service.clone().oneshot(Request::new("")).await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let mut request = Request::new("");
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!((*response.body(), response.headers().contains_key("set-cookie")), (2, false));
    assert_eq!(backend.statistics().writes, 2);
}
