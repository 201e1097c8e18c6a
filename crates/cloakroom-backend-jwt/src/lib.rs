#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod builder;
mod claims;
mod codec;
mod error;
mod key;
mod pem;
mod text;
mod url;

pub use backend::JwtSessionBackend;
pub use builder::JwtBuilder;
pub use codec::JwtCodec;
pub use key::JwtKey;

#[doc(hidden)]
pub use codec::fuzz_open;
