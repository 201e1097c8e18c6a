use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use cloakroom::analytics::{CompositeAnalytics, LoggerAnalytics, PrometheusAnalytics};
use cloakroom::prelude::*;
use prometheus::{Registry, TextEncoder};

/// A backend that is counted, and where its numbers are.
#[derive(Clone, Debug)]
pub struct Site {
    backend: SharedBackend,
    registry: Registry,
    analytics: PrometheusAnalytics,
}

impl Site {
    /// Counts what happens to sessions in that backend.
    ///
    /// # Errors
    /// None, since the registry is new; one that you share may have these metrics already.
    pub fn over(backend: SharedBackend, name: &str) -> Result<Self, SessionError> {
        let registry = Registry::new();
        let analytics = PrometheusAnalytics::builder().with_backend(name).register(&registry)?;
        let sinks = CompositeAnalytics::new().with(analytics.clone()).with(LoggerAnalytics::new());
        let backend = backend.layer(AnalyticsLayer::new(sinks)).shared();
        Ok(Self { backend, registry, analytics })
    }

    /// The backend, counted: for a sweeper, or what else needs it.
    #[must_use]
    pub fn backend(&self) -> SharedBackend {
        self.backend.clone()
    }

    /// Sets the gauge of live sessions. Call it from time to time.
    ///
    /// # Errors
    /// Those of the backend's `count`.
    pub async fn refresh(&self) -> Result<u64, SessionError> {
        self.analytics.refresh_active(&self.backend).await
    }

    /// What visitors see.
    pub fn pages(&self) -> Router {
        let sessions =
            SessionLayer::new(self.backend.clone()).with_cookie(CookieConfig::insecure_for_development());
        Router::new()
            .route("/", routing::get(visits))
            .route("/sign-in", routing::post(sign_in))
            .route("/sign-out", routing::post(sign_out))
            .layer(sessions)
    }

    /// What Prometheus sees. Not for the public.
    pub fn metrics(&self) -> Router {
        Router::new().route("/metrics", routing::get(metrics)).with_state(self.registry.clone())
    }
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn visits(session: Session) -> Result<String, SessionError> {
    let visits = session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
    Ok(format!("You were here {visits} times.\n"))
}

async fn sign_in(session: Session) -> Result<&'static str, SessionError> {
    session.login("user:1").await?;
    Ok("Hello.\n")
}

async fn sign_out(session: Session) -> Result<&'static str, SessionError> {
    session.flush().await?;
    Ok("Bye.\n")
}
