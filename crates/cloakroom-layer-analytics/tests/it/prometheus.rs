//! Metrics in a real registry.

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom_core::{ErrorKind, InMemorySessionBackend, Record, SessionBackend, SessionBackendExt, Write};
use cloakroom_layer_analytics::{
    AnalyticsEvent, AnalyticsLayer, Operation, Outcome, PrometheusAnalytics, PrometheusBuilder,
    SessionAnalytics,
};
use cloakroom_testkit::{Fault, Faulty};
use prometheus::{Registry, TextEncoder};

use crate::place::{PAYLOAD, create, key, scope, traffic};

/// What `/metrics` would show: value by series.
fn shown(registry: &Registry) -> BTreeMap<String, f64> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn metrics(registry: &Registry, builder: PrometheusBuilder) -> PrometheusAnalytics {
    builder.register(registry).unwrap()
}

#[tokio::test]
async fn every_metric_counts_what_its_name_says() {
    let registry = Registry::new();
    let analytics = PrometheusAnalytics::new(&registry).unwrap();
    let store = Faulty::new(InMemorySessionBackend::new());
    let backend = store.clone().layer(AnalyticsLayer::new(analytics.clone()));
    assert!(!shown(&registry).contains_key("session_active"), "nobody has counted");
    assert_eq!(shown(&registry)[r#"session_deleted_total{reason="flushed"}"#], 0.0, "shown from the start");

    traffic(&backend, None).await;
    create(&backend).await;
    assert_eq!(analytics.refresh_active(&store).await.unwrap(), 1);
    store.inject(Fault::before(None, ErrorKind::Unavailable));
    backend.read(&key()).await.unwrap_err();
    let seen = shown(&registry);
    for (name, expected) in [
        ("session_created_total", 2.0),
        ("session_accessed_total", 3.0),
        ("session_access_hit_total", 1.0),
        ("session_access_miss_total", 2.0),
        ("session_access_latency_seconds_count", 4.0), // the failed one took its time too
        ("session_saved_total", 1.0),
        ("session_stored_total", 1.0),
        ("session_marked_total", 1.0),
        ("session_touched_total", 1.0),
        ("session_rotated_total", 1.0),
        ("session_conflicted_total", 1.0),
        ("session_gone_total", 1.0),
        (r#"session_deleted_total{reason="flushed"}"#, 1.0),
        (r#"session_deleted_total{reason="revoked"}"#, 1.0),
        (r#"session_deleted_total{reason="explicit"}"#, 0.0),
        ("session_expired_total", 0.0),
        (r#"session_error_total{kind="already exists",operation="write"}"#, 1.0),
        (r#"session_error_total{kind="unavailable",operation="read"}"#, 1.0),
        (r#"session_operation_latency_seconds_count{operation="write"}"#, 7.0),
        (r#"session_operation_latency_seconds_count{operation="sweep"}"#, 1.0),
        ("session_size_bytes_count", 5.0),
        ("session_size_bytes_sum", 5.0 * PAYLOAD.len() as f64),
        ("session_active", 1.0),
    ] {
        assert_eq!(seen.get(name), Some(&expected), "{name} in {seen:#?}");
    }
}

#[test]
fn latency_below_a_millisecond_kept_and_cancelled_and_expired_counted() {
    let registry = Registry::new();
    let analytics = PrometheusAnalytics::new(&registry).unwrap();
    let read = Outcome::Accessed { hit: true };
    analytics.record(&AnalyticsEvent::new(Operation::Read, read, Duration::from_nanos(1_500)));
    analytics.record(&AnalyticsEvent::new(Operation::Read, read, Duration::from_micros(40)));
    analytics.record(&AnalyticsEvent::new(Operation::Read, Outcome::Cancelled, Duration::from_secs(2)));
    let expired = Outcome::Expired { count: 7 };
    analytics.record(&AnalyticsEvent::new(Operation::Sweep, expired, Duration::from_secs(1)));
    let seen = shown(&registry);
    assert!((seen["session_access_latency_seconds_sum"] - 2.000_041_5).abs() < 1e-9, "{seen:#?}");
    assert_eq!(seen[r#"session_access_latency_seconds_bucket{le="0.000005"}"#], 1.0);
    assert_eq!(seen[r#"session_access_latency_seconds_bucket{le="0.00005"}"#], 2.0);
    assert_eq!(seen[r#"session_cancelled_total{operation="read"}"#], 1.0);
    assert_eq!(seen["session_expired_total"], 7.0);
    assert_eq!(seen["session_accessed_total"], 2.0, "one was never answered");
}

#[tokio::test]
async fn two_instances_live_in_one_registry_and_do_not_mix() {
    let registry = Registry::new();
    let [users, staff] = ["users", "staff"].map(|name| {
        let analytics = metrics(&registry, PrometheusAnalytics::builder().with_backend(name));
        InMemorySessionBackend::new().layer(AnalyticsLayer::new(analytics))
    });
    create(&users).await;
    create(&users).await;
    create(&staff).await;
    let seen = shown(&registry);
    assert_eq!(seen[r#"session_created_total{backend="users"}"#], 2.0);
    assert_eq!(seen[r#"session_created_total{backend="staff"}"#], 1.0);
}

#[test]
fn instances_that_clash_invalid_config_and_the_first_goes_on() {
    let registry = Registry::new();
    let first = metrics(&registry, PrometheusAnalytics::builder().with_backend("a"));
    let builders = [
        PrometheusAnalytics::builder().with_backend("a"),
        PrometheusAnalytics::builder(),
        PrometheusAnalytics::builder().with_backend("b").with_label("zone", "1"),
        PrometheusAnalytics::builder().with_backend("b").with_tenants(3),
    ];
    for (index, builder) in builders.into_iter().enumerate() {
        let error = builder.register(&registry).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{index}: {error:?}");
        assert!(error.to_string().contains("label"), "{index}: {error}");
    }
    let before = shown(&registry).len();
    metrics(&registry, PrometheusAnalytics::builder().with_backend("b"));
    assert_eq!(shown(&registry).len(), 2 * before, "what was refused left nothing behind");
    first.record(&AnalyticsEvent::new(Operation::Write, Outcome::Created, Duration::ZERO));
    assert_eq!(shown(&registry)[r#"session_created_total{backend="a"}"#], 1.0);
}

#[test]
fn labels_and_buckets_that_cannot_be_invalid_config_in_an_empty_registry() {
    let plain = PrometheusAnalytics::builder;
    let builders = [
        plain().with_label("not a name", "1"),
        plain().with_label("reason", "1"),
        plain().with_label("operation", "1"),
        plain().with_label("kind", "1"),
        plain().with_label("le", "1"),
        plain().with_label("__name__", "1"),
        plain().with_tenant("acme").with_tenants(3),
        plain().with_latency_buckets([2.0, 1.0]),
    ];
    for (index, builder) in builders.into_iter().enumerate() {
        let registry = Registry::new();
        let error = builder.register(&registry).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{index}: {error:?}");
        assert!(error.to_string().contains("label"), "{index}: {error}");
        assert!(registry.gather().is_empty(), "{index}");
    }
    metrics(&Registry::new(), plain().with_tenant("acme"));
}

/// Many threads at once that each bring a scope nobody has seen.
#[test]
fn tenants_that_come_at_once_are_no_more_than_the_most() {
    const MOST: usize = 2;
    for round in 0..50 {
        let registry = Registry::new();
        let named = PrometheusAnalytics::builder().with_tenants(MOST).with_tenant_name(|scope| {
            std::thread::yield_now();
            scope.as_str().to_owned()
        });
        let analytics = metrics(&registry, named);
        let start = std::sync::Barrier::new(16);
        std::thread::scope(|threads| {
            for thread in 0..16 {
                let (analytics, start) = (&analytics, &start);
                threads.spawn(move || {
                    let mut event = AnalyticsEvent::new(Operation::Write, Outcome::Created, Duration::ZERO);
                    event.scope = Some(scope(&format!("t{thread}")));
                    start.wait();
                    analytics.record(&event);
                });
            }
        });
        let seen = shown(&registry);
        let created = seen.keys().filter(|name| name.starts_with("session_created_total")).count();
        // Beside them `other`, and calls without a scope.
        assert_eq!(created, MOST + 2, "round {round}");
    }
}

#[tokio::test]
async fn tenants_beyond_the_most_share_one_label() {
    let registry = Registry::new();
    let analytics = metrics(&registry, PrometheusAnalytics::builder().with_tenants(2));
    let backend = InMemorySessionBackend::new().layer(AnalyticsLayer::new(analytics));
    for _ in 0..2 {
        for tenant in 0..50 {
            traffic(&backend, Some(&scope(&format!("t{tenant}")))).await;
        }
    }
    create(&backend).await;
    let seen = shown(&registry);
    assert_eq!(seen[r#"session_created_total{tenant="t0"}"#], 2.0);
    assert_eq!(seen[r#"session_created_total{tenant="t1"}"#], 2.0);
    assert_eq!(seen[r#"session_created_total{tenant="other"}"#], 96.0);
    assert_eq!(seen[r#"session_created_total{tenant=""}"#], 1.0);
    assert_eq!(seen[r#"session_error_total{kind="already exists",operation="write",tenant="other"}"#], 96.0);
    assert!(seen.keys().all(|series| !series.contains("t2\"")), "{seen:#?}");
    let of_one = seen.keys().filter(|series| series.contains(r#"tenant="t0""#)).count();
    assert!((45..=55).contains(&of_one), "what a tenant costs: {of_one}");
}

#[test]
fn tenant_of_races_stays_within_the_most() {
    let registry = Registry::new();
    let builder = PrometheusAnalytics::builder()
        .with_tenants(5)
        .with_tenant_name(|scope| scope.as_str().to_uppercase());
    let analytics = metrics(&registry, builder);
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let analytics = &analytics;
            threads.spawn(move || {
                for tenant in 0..100 {
                    let scope = scope(&format!("{}", (tenant + thread * 7) % 20));
                    let event = AnalyticsEvent::new(Operation::Write, Outcome::Created, Duration::ZERO);
                    analytics.record(&event.with_scope(scope));
                }
            });
        }
    });
    let created: BTreeMap<String, f64> =
        shown(&registry).into_iter().filter(|(name, _)| name.starts_with("session_created_total")).collect();
    // A name whose scope lost the race may be shown with 0.
    let named: Vec<_> =
        created.iter().filter(|(name, value)| name.contains("TENANT:") && **value > 0.0).collect();
    assert_eq!(named.len(), 5, "{created:?}");
    assert_eq!(created.values().sum::<f64>(), 800.0);
}

#[tokio::test]
async fn constant_tenant_on_every_series_and_registry_with_a_prefix() {
    let registry = Registry::new_custom(Some("shop".to_owned()), None).unwrap();
    let analytics = metrics(&registry, PrometheusAnalytics::builder().with_tenant("acme").with_backend("db"));
    let backend = InMemorySessionBackend::new().layer(AnalyticsLayer::new(analytics.clone()));
    create(&backend).await;
    analytics.refresh_active(&backend).await.unwrap();
    let seen = shown(&registry);
    assert!(
        seen.keys().all(|series| series.contains(r#"tenant="acme""#) && series.contains(r#"backend="db""#))
    );
    assert_eq!(seen[r#"shop_session_active{backend="db",tenant="acme"}"#], 1.0);
}

#[tokio::test]
async fn gauge_that_cannot_be_refreshed_stays() {
    let registry = Registry::new();
    let analytics = PrometheusAnalytics::new(&registry).unwrap();
    let store = Faulty::new(InMemorySessionBackend::new());
    store.write(&key(), Record::new("{}", store.clock().now()), Write::create()).await.unwrap();
    assert_eq!(analytics.refresh_active(&store).await.unwrap(), 1);
    store.disconnect();
    assert!(analytics.refresh_active(&store).await.is_err());
    assert_eq!(shown(&registry)["session_active"], 1.0);
}
