#![doc = include_str!("../README.md")]

mod future;
mod layer;
mod response;
mod service;

pub use cloakroom_http::{
    CookieBuilder, CookieConfig, HeaderConfig, Refusal, SameSite, StaleBackend, StoreDown, Transport,
};
pub use future::ResponseFuture;
pub use layer::SessionLayer;
pub use service::SessionService;
