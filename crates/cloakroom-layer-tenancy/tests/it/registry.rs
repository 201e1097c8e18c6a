//! Tenants by their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom_core::{ErrorKind, InMemorySessionBackend, SessionBackendExt};
use cloakroom_layer_tenancy::{TenantConfig, Tenants};

#[tokio::test]
async fn tenant_that_is_not_known_any_more_refused_though_remembered() {
    let open = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&open);
    let tenants = Tenants::new(InMemorySessionBackend::new(), TenantConfig::default())
        .with_known(move |tenant| tenant.as_str() == "acme" && asked.load(Ordering::SeqCst));
    assert!(tenants.of("acme").is_ok() && tenants.of("globex").is_err());
    open.store(false, Ordering::SeqCst);
    assert_eq!(tenants.of("acme").unwrap_err().kind(), ErrorKind::InvalidKey);
}

#[tokio::test]
async fn more_tenants_than_are_remembered_keep_their_sessions() {
    let tenants = Tenants::new(InMemorySessionBackend::new(), TenantConfig::default());
    for number in 0..10_000 {
        tenants.of(&format!("t{number}")).unwrap().save("n", &number, None).await.unwrap();
    }
    for number in [0, 4_095, 4_096, 9_999] {
        let found: Option<i32> = tenants.of(&format!("t{number}")).unwrap().load("n").await.unwrap();
        assert_eq!(found, Some(number));
    }
    assert_eq!(tenants.of("a:b").unwrap_err().kind(), ErrorKind::InvalidKey);
}
