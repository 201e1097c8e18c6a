#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod config;
mod layer;
mod operations;
mod registry;
mod space;
mod tenant_id;

pub use backend::TenantSessionBackend;
pub use config::TenantConfig;
pub use layer::TenancyLayer;
pub use operations::TenantSessionOperations;
pub use registry::Tenants;
pub use tenant_id::TenantId;
