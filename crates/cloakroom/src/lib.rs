#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod connect;

pub use cloakroom_core::*;

pub use connect::connect;

#[cfg(feature = "middleware")]
pub use cloakroom_tower::{
    CookieBuilder, CookieConfig, HeaderConfig, NoTenant, Refusal, RequestHead, RequestTenant, ResponseFuture,
    SameSite, SessionLayer, SessionService, StaleBackend, StoreDown, TenantResolver, Transport,
    UnknownTenant,
};

#[cfg(feature = "database")]
pub use cloakroom_backend_database::{self as database, DatabaseSessionBackend};

#[cfg(feature = "file")]
pub use cloakroom_backend_file::{self as file, FileSessionBackend};

#[cfg(feature = "cookie")]
pub use cloakroom_backend_cookie::{self as cookie, CookieSessionBackend};

#[cfg(feature = "jwt")]
pub use cloakroom_backend_jwt::{self as jwt, JwtKey, JwtSessionBackend};

#[cfg(feature = "encryption")]
pub use cloakroom_layer_encryption::{self as encryption, EncryptedSessionBackend, EncryptionLayer};

#[cfg(feature = "compression")]
pub use cloakroom_layer_compression::{self as compression, CompressedSessionBackend, CompressionLayer};

#[cfg(feature = "compression-zstd")]
pub use cloakroom_layer_compression::{ZstdCompressor, ZstdDictionary};

#[cfg(feature = "compression-gzip")]
pub use cloakroom_layer_compression::GzipCompressor;

#[cfg(feature = "compression-brotli")]
pub use cloakroom_layer_compression::BrotliCompressor;

#[cfg(feature = "replication")]
pub use cloakroom_layer_replication::{
    self as replication, ReplicatedSessionBackend, ReplicationConfig, ReplicationLayer, ReplicationStrategy,
};

#[cfg(feature = "analytics")]
pub use cloakroom_layer_analytics::{
    self as analytics, AnalyticsEvent, AnalyticsLayer, CompositeAnalytics, InstrumentedSessionBackend,
    LoggerAnalytics, QueuedAnalytics, SessionAnalytics,
};

#[cfg(feature = "analytics-prometheus")]
pub use cloakroom_layer_analytics::PrometheusAnalytics;

#[cfg(feature = "tenant")]
pub use cloakroom_layer_tenancy::{
    self as tenant, TenancyLayer, TenantConfig, TenantId, TenantSessionBackend, TenantSessionOperations,
    Tenants,
};

/// What most applications import.
///
/// ```
/// use cloakroom::prelude::*;
///
/// let session = Session::new(InMemorySessionBackend::new());
/// assert!(session.is_empty());
/// ```
pub mod prelude {
    pub use cloakroom_core::{
        ErrorKind, Expiry, Field, InMemorySessionBackend, Session, SessionBackend, SessionBackendExt,
        SessionConfig, SessionError, SharedBackend, Sweeper, Timeouts, TypedSession,
    };

    #[cfg(feature = "middleware")]
    pub use cloakroom_tower::{CookieConfig, SameSite, SessionLayer};

    #[cfg(feature = "database")]
    pub use cloakroom_backend_database::DatabaseSessionBackend;

    #[cfg(feature = "file")]
    pub use cloakroom_backend_file::FileSessionBackend;

    #[cfg(feature = "cookie")]
    pub use cloakroom_backend_cookie::CookieSessionBackend;

    #[cfg(feature = "jwt")]
    pub use cloakroom_backend_jwt::JwtSessionBackend;

    #[cfg(feature = "encryption")]
    pub use cloakroom_layer_encryption::{EncryptedSessionBackend, EncryptionLayer};

    #[cfg(feature = "compression")]
    pub use cloakroom_layer_compression::{CompressedSessionBackend, CompressionLayer};

    #[cfg(feature = "replication")]
    pub use cloakroom_layer_replication::{ReplicatedSessionBackend, ReplicationLayer, ReplicationStrategy};

    #[cfg(feature = "analytics")]
    pub use cloakroom_layer_analytics::{AnalyticsLayer, InstrumentedSessionBackend};
    #[cfg(feature = "tenant")]
    pub use cloakroom_layer_tenancy::{
        TenancyLayer, TenantConfig, TenantId, TenantSessionBackend, TenantSessionOperations, Tenants,
    };

    #[cfg(all(feature = "tenant", feature = "middleware"))]
    pub use cloakroom_tower::TenantResolver;
}
