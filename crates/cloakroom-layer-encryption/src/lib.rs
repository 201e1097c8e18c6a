#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod error;
mod layer;
mod owner;
mod reencrypt;

pub use backend::EncryptedSessionBackend;
pub use cloakroom_seal::{KeyRing, Passphrase, SEAL_KEY_LENGTH, SealKey};
pub use layer::EncryptionLayer;
pub use reencrypt::Reencrypted;
