use cloakroom_http::{
    CacheControl, KeyHeader, Outcome, Refusal, TARGETED_CACHE_CONTROL, cache_control, merge_vary,
};
use http::header::{CACHE_CONTROL, RETRY_AFTER, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::layer::Shared;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Does to the response what the engine decided.
pub(crate) fn apply<ResBody: Default>(outcome: Outcome, response: Response<ResBody>) -> Response<ResBody> {
    let mut response = match outcome.refusal {
        None => response,
        Some(refusal) => refused(refusal),
    };
    let headers = response.headers_mut();
    if let Some(name) = outcome.vary.as_deref() {
        vary_by(headers, name);
    }
    for announce in outcome.announce.into_iter().chain(outcome.further) {
        append(headers, announce);
    }
    response
}

/// Where a header chooses the tenant, everything depends on it, also what never looks at the session.
pub(crate) fn vary_by_tenant<ResBody>(shared: &Shared, mut response: Response<ResBody>) -> Response<ResBody> {
    if let Some(name) = &shared.tenant_header {
        vary_by(response.headers_mut(), name);
    }
    response
}

/// The error that takes the place of a response. It is not cached, and an outer middleware can make a page of it.
fn refused<ResBody: Default>(refusal: Refusal) -> Response<ResBody> {
    let mut response = Response::new(ResBody::default());
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response.extensions_mut().insert(refusal);
    response
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

fn vary_by(headers: &mut HeaderMap, name: &str) {
    let vary = match (name, headers.contains_key(VARY)) {
        ("Cookie", false) => Ok(HeaderValue::from_static("Cookie")),
        (_, false) => HeaderValue::from_str(name),
        (_, true) => match merge_vary(lines(headers, &VARY), name) {
            Some(merged) => HeaderValue::from_str(&merged),
            None => return,
        },
    };
    // Parts of header values and a checked name make a header value.
    if let Ok(vary) = vary {
        headers.insert(VARY, vary);
    }
}

/// Adds the key beside whatever the application set (CV-55), and keeps caches away from it.
fn append(headers: &mut HeaderMap, announce: KeyHeader) {
    let name = match announce.name() {
        "set-cookie" => SET_COOKIE,
        name => match name.parse() {
            Ok(name) => name,
            Err(_) => return,
        },
    };
    let Ok(mut value) = HeaderValue::try_from(announce.into_value()) else {
        tracing::error!(target: "cloakroom", "the session key is no header value");
        return;
    };
    value.set_sensitive(true);
    headers.append(name, value);
    match cache_control(lines(headers, &CACHE_CONTROL)) {
        CacheControl::Keep => {}
        decision => {
            if decision == CacheControl::NoStoreInsteadOfPublic {
                tracing::warn!(
                    target: "cloakroom",
                    "a response with a session key was marked for shared caches; it is no-store now"
                );
            }
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
    }
    for name in TARGETED_CACHE_CONTROL {
        if headers.remove(name).is_some() {
            tracing::warn!(target: "cloakroom", header = name, "a response with a session key must not be cached");
        }
    }
}
