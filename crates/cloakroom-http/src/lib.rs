#![doc = include_str!("../README.md")]

mod cache;
mod candidate;
mod cookie;
mod date;
mod engine;
mod outcome;
mod refusal;
mod set_cookie;
mod split;
mod stale;
mod tenant;
mod transport;

pub use cache::{CacheControl, TARGETED_CACHE_CONTROL, cache_control, merge_vary};
pub use candidate::{Candidates, MAX_BYTES, MAX_CANDIDATES};
pub use cookie::{CookieBuilder, CookieConfig, SameSite};
pub use engine::{Engine, Opened};
pub use outcome::{KeyHeader, Outcome};
pub use refusal::{Refusal, refusal};
pub use set_cookie::MAX_AGE;
pub use split::MAX_SPLIT;
pub use stale::StaleBackend;
pub use tenant::{NoTenant, RequestHead, TenantResolver, UnknownTenant};
pub use transport::{HeaderConfig, StoreDown, Transport};
