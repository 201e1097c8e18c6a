use std::future::Future;

use cloakroom_core::{Cursor, Filter, Page, Removal, Result, SessionBackend};

use crate::backend::TenantSessionBackend;

/// What an administrator does with one tenant's sessions.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Session};
/// use cloakroom_layer_tenancy::{TenantConfig, TenantSessionOperations, Tenants};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let tenants = Tenants::new(InMemorySessionBackend::new(), TenantConfig::default());
/// let (acme, globex) = (tenants.of("acme")?, tenants.of("globex")?);
/// for backend in [&acme, &acme, &globex] {
///     let session = Session::new(backend.clone());
///     session.set("plan", "free")?;
///     session.save().await?;
/// }
///
/// assert_eq!(acme.list_sessions(None, 100).await?.entries.len(), 2);
/// assert_eq!(acme.delete_all_sessions().await?, 2);
/// assert_eq!((acme.count_sessions().await?, globex.count_sessions().await?), (0, 1));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
pub trait TenantSessionOperations {
    /// A page of at most `limit` sessions, without payloads, and the cursor for the next. One call.
    ///
    /// # Errors
    /// `Unsupported` for sessions that clients keep; what the backend returns.
    fn list_sessions(&self, after: Option<Cursor>, limit: usize)
    -> impl Future<Output = Result<Page>> + Send;

    /// How many live sessions there are. One call.
    ///
    /// # Errors
    /// As [`list_sessions`](Self::list_sessions).
    fn count_sessions(&self) -> impl Future<Output = Result<u64>> + Send;

    /// Ends all of them, for the reason `Revoked`; says how many. One call.
    ///
    /// # Errors
    /// As [`list_sessions`](Self::list_sessions).
    fn delete_all_sessions(&self) -> impl Future<Output = Result<u64>> + Send;
}

impl<B: SessionBackend> TenantSessionOperations for TenantSessionBackend<B> {
    async fn list_sessions(&self, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.scan(&Filter::unscoped(), after, limit).await
    }

    async fn count_sessions(&self) -> Result<u64> {
        self.count(&Filter::unscoped()).await
    }

    async fn delete_all_sessions(&self) -> Result<u64> {
        self.remove_all(&Filter::unscoped(), Removal::Revoked).await
    }
}
