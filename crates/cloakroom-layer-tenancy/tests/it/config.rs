//! Names and patterns.

use std::collections::HashSet;

use cloakroom_core::{ErrorKind, InMemorySessionBackend, Scope, SessionBackendExt};
use cloakroom_layer_tenancy::{TenantConfig, TenantId, TenantSessionBackend};
use proptest::prelude::*;

const PATTERNS: [&str; 5] = [
    "tenant:{tenant_id}:session:{session_id}",
    "{tenant_id}:{session_id}",
    "{tenant_id}/{session_id}",
    "a:{tenant_id}:a:{session_id}",
    "session-of-{tenant_id}@1.{session_id}",
];

fn scope(pattern: &str, tenant: &str) -> Scope {
    let config = TenantConfig::new().with_pattern(pattern).unwrap();
    config.scope(&TenantId::parse(tenant).unwrap()).unwrap()
}

// Origin's defect: tenant `1` listed and deleted the sessions of tenant `1:session:2`.
#[test]
fn tenant_id_that_could_reach_into_another_refused() {
    let long = "t".repeat(129);
    let all = [
        "",
        "1:session:2",
        ":",
        "a:",
        "a b",
        "a/b",
        "a*",
        "a?",
        "a[b]",
        "a\"",
        "a'",
        "a\\",
        "{",
        "a\0",
        "\n",
        "ä",
        &long,
    ];
    for name in all {
        assert_eq!(TenantId::parse(name).unwrap_err().kind(), ErrorKind::InvalidKey, "{name:?}");
    }
    for name in ["1", "acme", "Acme-2_b.example~", "shop.example.com", &long[1..]] {
        assert_eq!(TenantId::parse(name).unwrap().to_string(), name);
    }
}

#[test]
fn pattern_default_is_the_documented_one() {
    assert_eq!(TenantConfig::default().pattern(), PATTERNS[0]);
    assert_eq!(scope(PATTERNS[0], "acme").as_str(), "tenant:acme:session:");
}

#[test]
fn pattern_that_could_confuse_tenants_invalid_config() {
    let long = format!("{}{{tenant_id}}:{{session_id}}", "p".repeat(127));
    let fits = format!("{}{{tenant_id}}:{{session_id}}", "p".repeat(126));
    assert!(TenantConfig::new().with_pattern(&fits).is_ok());
    let bad = [
        "",
        "tenant",
        "{tenant_id}",
        "{session_id}",
        "{session_id}:{tenant_id}",
        "{tenant_id}{session_id}",
        "{tenant_id}x{session_id}",
        "{tenant_id}-{session_id}",
        "{tenant_id}.:{session_id}",
        "{tenant_id}:{session_id}:",
        "{tenant_id}:{tenant_id}:{session_id}",
        "{tenant_id}:{session_id}{session_id}",
        "{tenant}:{tenant_id}:{session_id}",
        "t {tenant_id}:{session_id}",
        "*{tenant_id}:{session_id}",
        "ä{tenant_id}:{session_id}",
        &long,
    ];
    for pattern in bad {
        let error = TenantConfig::new().with_pattern(pattern).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{pattern:?}");
    }
}

proptest! {
    /// Not even the beginning of another's, for stores and tools that look at prefixes.
    #[test]
    fn key_spaces_of_two_tenants_never_overlap(names in prop::collection::hash_set("[a-zA-Z0-9._~-]{1,6}", 2..6)) {
        for pattern in PATTERNS {
            let scopes: HashSet<_> = names.iter().map(|name| scope(pattern, name)).collect();
            prop_assert_eq!(scopes.len(), names.len());
            for one in &scopes {
                let inside = scopes.iter().filter(|other| other.as_str().starts_with(one.as_str()));
                prop_assert_eq!(inside.count(), 1);
            }
        }
    }
}

#[tokio::test]
async fn key_space_of_the_framework_is_no_tenants() {
    let config = TenantConfig::default();
    let reserved = config.clone().with_pattern("cloakroom:{tenant_id}:{session_id}");
    assert_eq!(reserved.unwrap_err().kind(), ErrorKind::InvalidConfig);
    let bare = config.with_pattern("{tenant_id}:revocation{session_id}").unwrap();
    let tenant = TenantId::parse("cloakroom").unwrap();
    assert_eq!(bare.scope(&tenant).unwrap_err().kind(), ErrorKind::InvalidConfig);
    let backend = TenantSessionBackend::new(InMemorySessionBackend::new(), tenant, &bare);
    assert_eq!(backend.save("a", &1, None).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert!(bare.scope(&TenantId::parse("acme").unwrap()).is_ok());
}
