//! The integration tests of cloakroom-tower: axum, plain hyper and plain tower services, over the whole stack.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod attribute;
mod caching;
mod count;
mod failure;
mod hostile;
mod nesting;
mod race;
mod redaction;
mod response;
mod site;
mod socket;
mod transport;
