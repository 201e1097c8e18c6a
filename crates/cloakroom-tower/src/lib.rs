#![doc = include_str!("../README.md")]

mod future;
mod layer;
mod response;
mod service;
mod tenant;

pub use cloakroom_http::{
    CookieBuilder, CookieConfig, HeaderConfig, NoTenant, Refusal, RequestHead, SameSite, StaleBackend,
    StoreDown, TenantResolver, Transport, UnknownTenant,
};
pub use future::ResponseFuture;
pub use layer::SessionLayer;
pub use service::SessionService;
pub use tenant::RequestTenant;
