use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use cloakroom::{
    CookieConfig, Refusal, Session, SessionBackendExt, SessionError, SessionLayer, SharedBackend,
};

use crate::page::{page, sorry};
use crate::{account, cart};

/// The site, with its sessions in that backend.
pub(crate) fn routes(backend: SharedBackend, cookie: CookieConfig) -> Router {
    Router::new()
        .route("/", get(cart::shelf))
        .route("/cart", get(cart::show))
        .route("/cart/add", post(cart::add))
        .route("/cart/set", post(cart::set))
        .route("/sign-in", get(account::form).post(account::sign_in))
        .route("/sign-out", post(account::sign_out))
        .route("/devices", get(account::devices))
        .route("/devices/revoke", post(account::revoke))
        .route("/devices/revoke-others", post(account::revoke_others))
        .route("/health", get(health))
        .fallback(async || sorry(StatusCode::NOT_FOUND, "There is no such page."))
        .layer(SessionLayer::new(backend.clone()).with_cookie(cookie))
        .layer(from_fn(same_origin))
        .layer(map_response(error_page))
        .with_state(backend)
}

/// For a load balancer: whether the session store answers.
async fn health(State(backend): State<SharedBackend>) -> StatusCode {
    if backend.is_healthy().await { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Refuses forms that another site sent. `SameSite=Lax` keeps the cookie out of them; this is the second lock.
async fn same_origin(request: Request, next: Next) -> Response {
    if request.method().is_safe() || is_own(request.headers()) {
        return next.run(request).await;
    }
    sorry(StatusCode::FORBIDDEN, "This form was sent from another site, so it was not carried out.")
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let own_site = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let host = text("host").unwrap_or_default();
    let own_origin = text("origin").is_none_or(|origin| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    own_site && own_origin
}

/// Makes a page of what went wrong below.
async fn error_page(response: Response) -> Response {
    let status = response.status();
    let html = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if html || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let refusal = response.extensions().get::<Refusal>().map(|refusal| refusal.message);
    let text = refusal.unwrap_or(match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            "Sessions cannot be reached at the moment. Please try again shortly."
        }
        StatusCode::CONFLICT => "Your session ended while this was under way. Please sign in again.",
        _ => "Something went wrong.",
    });
    let mut page = sorry(status, text);
    for (name, value) in response.headers() {
        if [header::RETRY_AFTER, header::SET_COOKIE, header::CACHE_CONTROL, header::VARY].contains(name) {
            page.headers_mut().append(name, value.clone());
        }
    }
    page
}

/// A page with the visitor's name and the size of the cart in its head.
pub(crate) fn show(session: &Session, title: &str, body: &str) -> Result<Html<String>, SessionError> {
    let name: Option<String> = session.get("name")?;
    Ok(page(title, name.as_deref(), cart::size(session)?, body))
}

/// After a form, so that a reload does not send it again.
pub(crate) fn then(to: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}
