//! Plain hyper over a real loopback socket.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use cloakroom_core::*;
use cloakroom_tower::SessionLayer;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, service_fn};

async fn handler(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let session = request.extensions().get::<Session>().unwrap().clone();
    let text = match request.uri().path() {
        "/static" => "static".to_owned(),
        "/logout" => session.flush().await.map_or_else(|error| error.to_string(), |()| "bye".to_owned()),
        _ => match session.load().await {
            Ok(()) => session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap().to_string(),
            Err(error) => error.to_string(),
        },
    };
    Ok(Response::new(Full::from(text)))
}

/// Serves until the runtime ends.
async fn serve(layer: SessionLayer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(layer.layer(service_fn(handler)));
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

async fn get(address: SocketAddr, path: &str, cookie: Option<&str>) -> (Response<()>, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().uri(path).header("host", "localhost");
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
}

// F60
#[tokio::test]
async fn session_over_a_real_socket_begins_counts_and_ends() {
    let backend = InMemorySessionBackend::new();
    let address = serve(SessionLayer::new(backend.clone())).await;

    let (response, body) = get(address, "/static", None).await;
    assert_eq!((body.as_str(), response.headers().contains_key("vary")), ("static", false));

    let (response, body) = get(address, "/", None).await;
    assert_eq!(body, "1");
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"));
    let cookie = cookie.split(';').next().unwrap().to_owned();

    for n in 2..10_u64 {
        let (response, body) = get(address, "/", Some(&cookie)).await;
        assert_eq!((body, response.headers().contains_key("set-cookie")), (n.to_string(), false));
        assert_eq!(response.headers()["vary"], "Cookie");
    }
    let (response, body) = get(address, "/logout", Some(&cookie)).await;
    assert_eq!(body, "bye");
    assert!(response.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(get(address, "/", Some(&cookie)).await.1, "1");
    assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 1);
}

// CV-37: what is too large for the server never reaches the layer; what reaches it is bounded there.
#[tokio::test]
async fn cookie_header_that_is_too_large_for_the_server_is_431() {
    let backend = InMemorySessionBackend::new();
    let address = serve(SessionLayer::new(backend.clone())).await;
    let (response, _) = get(address, "/", Some(&"x".repeat(1 << 20))).await;
    assert_eq!(response.status(), 431);
    let (response, body) = get(address, "/", Some(&"x".repeat(100_000))).await;
    assert_eq!((response.status().as_u16(), body.as_str()), (200, "1"));
    assert_eq!(backend.statistics().reads, 0);
}
