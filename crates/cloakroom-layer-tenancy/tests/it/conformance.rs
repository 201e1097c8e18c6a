//! The whole contract, over memory that others use too.

use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
use cloakroom_layer_tenancy::{TenancyLayer, TenantConfig, TenantId, Tenants};

cloakroom_testkit::conformance!(memory, |clock| async move {
    let acme = TenancyLayer::new(TenantId::parse("acme").unwrap(), TenantConfig::default());
    InMemorySessionBackend::with_clock(clock).layer(acme)
});

cloakroom_testkit::conformance!(memory_with_a_limit_and_neighbours, |clock| async move {
    let config = TenantConfig::default().with_max_sessions(1_000_000);
    let tenants = Tenants::new(InMemorySessionBackend::with_clock(clock), config);
    for neighbour in ["acm", "acme2", "Acme"] {
        tenants.of(neighbour).unwrap().save("settings", "theirs", None).await.unwrap();
    }
    tenants.inner().save("settings", "nobody's", None).await.unwrap();
    tenants.of("acme").unwrap()
});
