//! The quick starts of the systems that cloakroom takes after, word for word but for the imports.

use std::error::Error;

use cloakroom::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[tokio::test]
#[allow(unused_mut)]
async fn session_as_a_dictionary_reads_as_in_the_origin() -> Result<(), Box<dyn Error>> {
    let backend = InMemorySessionBackend::new();
    let mut session = Session::new(backend);

    session.set("user_id", 42)?;
    session.set("username", "alice")?;

    let user_id: i32 = session.get("user_id")?.unwrap();
    assert_eq!(user_id, 42);
    assert!(session.contains_key("username"));

    session.delete("username");
    assert!(!session.contains_key("username"));

    session.save().await?;
    Ok(())
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct CartData {
    items: Vec<String>,
    total: f64,
}

#[tokio::test]
async fn backend_by_name_reads_as_in_the_origin() -> Result<(), Box<dyn Error>> {
    let backend = InMemorySessionBackend::new();
    let cart_data = CartData { items: vec!["item1".to_string(), "item2".to_string()], total: 99.99 };

    backend.save("cart_session_456", &cart_data, Some(1800)).await?;
    assert!(backend.exists("cart_session_456").await?);

    let retrieved: Option<CartData> = backend.load("cart_session_456").await?;
    assert_eq!(retrieved, Some(cart_data));

    backend.delete("cart_session_456").await?;
    assert!(!backend.exists("cart_session_456").await?);

    let session_data = json!({ "user_id": 42, "authenticated": true });
    backend.save("session_key_123", &session_data, None).await?;
    let loaded: Option<serde_json::Value> = backend.load("session_key_123").await?;
    assert_eq!(loaded.unwrap(), session_data);
    Ok(())
}

#[tokio::test]
#[allow(unused_mut)]
async fn keys_items_and_flags_read_as_in_the_origin() -> Result<(), Box<dyn Error>> {
    let backend = InMemorySessionBackend::new();
    let mut session = Session::new(backend);
    session.set("key1", "value1")?;
    session.set("key2", "value2")?;

    let keys: Vec<String> = session.keys();
    assert_eq!(keys.len(), 2);
    for (key, value) in session.items() {
        println!("{key}: {value}");
    }
    assert_eq!(session.values().len(), 2);
    assert!(session.is_modified());
    assert!(session.is_accessed());
    session.mark_unmodified();
    assert!(!session.is_modified());
    session.mark_modified();

    let key = session.get_or_create_key()?;
    assert!(!key.expose().is_empty());
    session.save().await?;
    session.cycle_key().await?;
    session.clear();
    assert!(session.keys().is_empty());
    session.flush().await?;
    assert!(session.is_empty());
    Ok(())
}

#[tokio::test]
async fn manager_reads_as_in_the_origin() -> Result<(), Box<dyn Error>> {
    use cloakroom::SessionManager;

    let manager = SessionManager::new(InMemorySessionBackend::new());
    let session = manager.create(|session| session.set("user_id", 123)).await?;
    let id = session.key().unwrap();
    manager.update(&id, |session| session.set("username", "john")).await?;
    let session = manager.load(&id).await?.unwrap();
    assert_eq!(session.get::<String>("username")?.as_deref(), Some("john"));
    let id = manager.regenerate(&id).await?;
    manager.touch(&id).await?;
    assert_eq!(manager.count().await?, 1);
    manager.delete(&id).await?;
    assert_eq!(manager.count().await?, 0);
    Ok(())
}

// F84, F87: everything through the facade, with its default features.
#[cfg(all(feature = "middleware", feature = "axum"))]
#[tokio::test]
async fn handler_with_a_session_and_the_backend_in_its_state_works() -> Result<(), Box<dyn Error>> {
    use axum::body::Body;
    use axum::extract::State;
    use axum::http::Request;
    use axum::{Router, routing::get};
    use tower::ServiceExt;

    async fn login(State(backend): State<SharedBackend>, session: Session) -> Result<String, SessionError> {
        session.login("user:42").await?;
        Ok(backend.sessions_of("user:42").await?.len().to_string())
    }
    let backend = cloakroom::connect("memory:").await?;
    let layer = SessionLayer::new(backend.clone());
    let app = Router::new().route("/login", get(login)).with_state(backend.clone()).layer(layer);
    let response = app.oneshot(Request::get("/login").body(Body::empty())?).await?;
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("set-cookie"));
    assert_eq!(backend.sessions_of("user:42").await?.len(), 1);
    Ok(())
}

// What handlers may return with `?`.
#[cfg(feature = "axum")]
#[test]
fn session_error_as_a_response_says_what_to_do_and_nothing_of_the_error() {
    use axum::response::IntoResponse;

    let status = |kind| {
        let response = SessionError::new(kind, "test").with_message("secret").into_response();
        (response.status().as_u16(), response.headers().contains_key("retry-after"))
    };
    assert_eq!(status(ErrorKind::Unavailable), (503, true));
    assert_eq!(status(ErrorKind::Conflict), (503, true));
    assert_eq!(status(ErrorKind::Gone), (409, false));
    assert_eq!(status(ErrorKind::Corrupted), (500, false));
}

// The front page of the repository is not compiled; the crate's is.
#[test]
fn front_page_of_the_repository_shows_the_quick_start_that_is_compiled() {
    let Ok(front) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")) else {
        return; // a packaged crate
    };
    let compiled = include_str!("../../README.md").split("```rust,no_run\n").nth(1).unwrap();
    let shown = front.split("```rust\n").nth(1).unwrap();
    assert_eq!(shown.split("```").next(), compiled.split("```").next());
}
