#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod codec;
#[cfg(feature = "envelope")]
mod envelope;
#[cfg(feature = "envelope")]
mod key_ring;
#[cfg(feature = "envelope")]
mod passphrase;
mod revocation;
#[cfg(feature = "envelope")]
mod seal_key;

pub use client::ClientSideBackend;
pub use codec::{Codec, Contents};
#[cfg(feature = "envelope")]
pub use envelope::{Context, SEALED_OVERHEAD, SIGNED_OVERHEAD};
#[cfg(feature = "envelope")]
pub use key_ring::KeyRing;
#[cfg(feature = "envelope")]
pub use passphrase::Passphrase;
pub use revocation::Revocation;
#[cfg(feature = "envelope")]
pub use seal_key::{SEAL_KEY_LENGTH, SealKey};
