//! CV-32: no key, id or payload in anything that is printed.

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response};
use cloakroom_core::*;
use tower::{Layer, ServiceExt, service_fn};

use crate::site::Site;

#[tokio::test]
async fn debug_of_layer_service_request_and_response_shows_no_secret() {
    let site = Site::new();
    let browser = site.visitor().await;
    let service = site.layer.layer(service_fn(async |request: Request<Body>| {
        let session = request.extensions().get::<Session>().unwrap().clone();
        session.load().await.unwrap();
        session.set("secret", "of the payload").unwrap();
        session.cycle_key().await.unwrap();
        let shown = format!("{session:?} {session:#?} {:?}", request.extensions());
        Ok::<_, std::convert::Infallible>(Response::new(shown))
    }));
    let mut request = Request::builder().body(Body::empty()).unwrap();
    let mut value: HeaderValue = browser.cookie.clone().unwrap().parse().unwrap();
    value.set_sensitive(true); // as a server's own logging should
    request.headers_mut().insert("cookie", value);
    let shown = format!("{:?} {service:?} {service:#?} {request:?}", site.layer);
    let future = service.oneshot(request);
    let shown = format!("{shown} {future:?}");
    let response = future.await.unwrap();
    let new = response.headers()["set-cookie"].to_str().unwrap();
    let new = new.split(['=', ';']).nth(1).unwrap().to_owned();
    let id = SessionKey::parse(&new, &Capability::store()).unwrap().id().as_text();
    let shown = format!("{shown} {response:?} {}", response.body());
    for secret in [browser.key(), &*browser.id().as_text(), &new, &*id, "of the payload"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
