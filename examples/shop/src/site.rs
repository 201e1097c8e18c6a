use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cloakroom::{Refusal, SessionBackendExt, SessionLayer, SharedBackend};
use prometheus::{Registry, TextEncoder};

use crate::page::sorry;
use crate::{account, cart};

/// The site. The backend is the one behind the sessions, of all tenants.
pub(crate) fn routes(backend: SharedBackend, sessions: SessionLayer) -> Router {
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
        .route("/style.css", get(style))
        .fallback(async || sorry(StatusCode::NOT_FOUND, "There is no such page."))
        .layer(sessions)
        // Outside: whoever asks for it, asks by the address of the machine, which is no tenant's.
        .route("/health", get(health))
        .layer(from_fn(same_origin))
        .layer(map_response(finished))
        .with_state(backend)
}

/// Asks for no session, so it costs no backend call, and everybody may cache it.
async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "public, max-age=600")];
    (headers, include_str!("style.css"))
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

/// Browsers say where a form comes from; what says nothing at all is no browser.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let own_site = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let host = text("host").unwrap_or_default();
    let own_origin = text("origin").is_none_or(|origin| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    own_site && own_origin
}

const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

/// The last touch on every response: errors become pages, and pages are kept nowhere.
async fn finished(response: Response) -> Response {
    let mut response = error_page(response);
    let html = is_html(&response);
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    if html {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// Makes a page of what went wrong below: in a handler, an extractor, or when the session was saved.
fn error_page(response: Response) -> Response {
    let status = response.status();
    if is_html(&response) || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let refusal = response.extensions().get::<Refusal>().map(|refusal| refusal.message);
    let text = refusal.unwrap_or(match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            "Sessions cannot be reached at the moment. Please try again shortly."
        }
        StatusCode::CONFLICT => "Your session ended while this was under way. Please sign in again.",
        StatusCode::METHOD_NOT_ALLOWED => "This page is no form, or this form is no page.",
        _ if status.is_client_error() => "The shop did not understand this request.",
        _ => "Something went wrong on our side.",
    });
    let mut page = sorry(status, text);
    for (name, value) in response.headers() {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name) {
            page.headers_mut().append(name, value.clone());
        }
    }
    page
}

/// The numbers of the sessions, in the format of Prometheus.
pub(crate) fn metrics(registry: Registry) -> Router {
    let text = async move || {
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        text.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    };
    Router::new().route("/metrics", get(text))
}

/// After a form, so that a reload does not send it again.
pub(crate) fn then(to: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}
