#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod codec;
mod error;
mod frame;
mod text;
mod url;

pub use backend::CookieSessionBackend;
pub use cloakroom_seal::{KeyRing, Passphrase, Revocation, SealKey};
#[doc(hidden)]
pub use codec::fuzz_open;
pub use codec::{CookieCodec, MAX_COOKIE, MAX_SPLIT};
