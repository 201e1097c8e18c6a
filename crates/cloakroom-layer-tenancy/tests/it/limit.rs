//! A limit for each tenant.

use std::sync::Arc;

use cloakroom_core::{
    AtLimit, Capability, ErrorKind, Filter, InMemorySessionBackend, Limits, Owner, Record, Rotate, Session,
    SessionBackend, SessionBackendExt, SessionConfig, SessionKey, Write,
};
use cloakroom_layer_tenancy::{TenantConfig, TenantSessionBackend, TenantSessionOperations, Tenants};
use cloakroom_testkit::Spy;

type Backend = TenantSessionBackend<InMemorySessionBackend>;

fn limited(limit: u64) -> Tenants<InMemorySessionBackend> {
    Tenants::new(InMemorySessionBackend::new(), TenantConfig::default().with_max_sessions(limit))
}

async fn create(backend: &Backend, limits: Limits) -> Result<(SessionKey, Record), ErrorKind> {
    let record = Record::new("{}", backend.clock().now());
    let key = SessionKey::generate().unwrap();
    let how = Write::create().with_limits(limits);
    let created = backend.write(&key, record.clone(), how).await;
    created.map(|key| (key, record)).map_err(|error| error.kind())
}

/// F43, ST-23. Origin's defect: 200 at once with limit 5 left 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_creates_with_limit_five_leave_five() {
    let tenants = limited(5);
    let acme = tenants.of("acme").unwrap();
    let (_, _) = create(&tenants.of("globex").unwrap(), Limits::none()).await.unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let acme = acme.clone();
            tokio::spawn(async move { create(&acme, Limits::none()).await.is_ok() })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += u32::from(task.await.unwrap());
    }
    assert_eq!((admitted, acme.count_sessions().await.unwrap()), (5, 5));
    // The neighbour has room of its own.
    create(&tenants.of("globex").unwrap(), Limits::none()).await.unwrap();
}

/// Origin's defect: at the limit, existing sessions could not be saved.
#[tokio::test]
async fn updates_and_rotations_at_the_limit_succeed() {
    let acme = limited(2).of("acme").unwrap();
    let (key, record) = create(&acme, Limits::none()).await.unwrap();
    create(&acme, Limits::none()).await.unwrap();
    assert_eq!(create(&acme, Limits::none()).await.unwrap_err(), ErrorKind::QuotaExceeded);
    let now = acme.clock().now();
    let next = record.clone().with_version(record.version.next(now));
    acme.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
    let login =
        next.clone().with_version(next.version.next(now)).with_owner(Some(Owner::parse("user:1").unwrap()));
    acme.write(&key, login.clone(), Write::update(next.version)).await.unwrap();
    let new = SessionKey::generate().unwrap();
    acme.rotate(&key, &new, login.clone(), Rotate::new(login.version)).await.unwrap();
    assert_eq!(acme.count_sessions().await.unwrap(), 2);
}

/// A smaller plan is no reason to sign people out, nor to keep them from signing in.
#[tokio::test]
async fn lowered_limit_lets_those_who_are_there_go_on_and_nobody_in() {
    let store = InMemorySessionBackend::new();
    let of = |limit| {
        let config = TenantConfig::default().with_max_sessions(limit);
        Tenants::new(store.clone(), config).of("acme").unwrap()
    };
    let (before, after) = (of(3), of(1));
    let (key, record) = create(&before, Limits::none()).await.unwrap();
    create(&before, Limits::none()).await.unwrap();
    create(&before, Limits::none()).await.unwrap();
    let now = after.clock().now();
    let login = record
        .clone()
        .with_version(record.version.next(now))
        .with_owner(Some(Owner::parse("user:1").unwrap()));
    after.write(&key, login.clone(), Write::update(record.version)).await.unwrap();
    let new = SessionKey::generate().unwrap();
    after.rotate(&key, &new, login.clone(), Rotate::new(login.version)).await.unwrap();
    after.write(&new, login, Write::overwrite()).await.unwrap();
    assert_eq!(create(&after, Limits::none()).await.unwrap_err(), ErrorKind::QuotaExceeded);
    assert_eq!(after.count_sessions().await.unwrap(), 3);
}

/// There is no room for another visitor of this tenant, but the owner is not the one who took it.
#[tokio::test]
async fn login_at_the_tenants_limit_ends_no_session_of_the_owner() {
    let store = InMemorySessionBackend::new();
    let config = Arc::new(SessionConfig::default().with_owner_limit(5, AtLimit::RevokeOldest));
    let sign_in = async |limit| {
        let tenant = TenantConfig::default().with_max_sessions(limit);
        let backend = Tenants::new(store.clone(), tenant).of("acme").unwrap();
        Session::with_config(backend, None, Arc::clone(&config))
            .login("user:1")
            .await
            .map_err(|error| error.kind())
    };
    for _ in 0..3 {
        sign_in(10).await.unwrap();
    }
    assert_eq!(sign_in(3).await, Err(ErrorKind::QuotaExceeded));
    assert_eq!(sign_in(2).await, Err(ErrorKind::QuotaExceeded));
    assert_eq!(store.count(&Filter::everywhere()).await.unwrap(), 3);
    // At a limit of its own the owner makes room.
    for _ in 0..3 {
        sign_in(10).await.unwrap();
    }
    assert_eq!(store.count(&Filter::everywhere()).await.unwrap(), 5);
}

/// Values by name and copies are sessions of the tenant like others.
#[tokio::test]
async fn value_by_name_and_copy_at_the_limit_quota_exceeded() {
    let acme = limited(1).of("acme").unwrap();
    acme.save("settings", &1, None).await.unwrap();
    acme.save("settings", &2, None).await.unwrap();
    assert_eq!(acme.save("more", &1, None).await.unwrap_err().kind(), ErrorKind::QuotaExceeded);
    let copy = Record::new("{}", acme.clock().now());
    let copied = acme.write(&SessionKey::generate().unwrap(), copy, Write::newer()).await;
    assert_eq!(copied.unwrap_err().kind(), ErrorKind::QuotaExceeded);
}

#[tokio::test]
async fn callers_smaller_limit_counts_and_a_larger_one_does_not() {
    let spy = Spy::new(InMemorySessionBackend::new());
    let tenants = Tenants::new(spy, TenantConfig::default().with_max_sessions(2));
    let acme = tenants.of("acme").unwrap();
    let attempt = async |limit| {
        let record = Record::new("{}", acme.clock().now());
        let how = Write::create().with_limits(Limits::none().with_per_scope(limit));
        acme.write(&SessionKey::generate().unwrap(), record, how)
            .await
            .map(drop)
            .map_err(|error| error.kind())
    };
    assert_eq!(attempt(1).await, Ok(()));
    assert_eq!(attempt(1).await, Err(ErrorKind::QuotaExceeded));
    assert_eq!(attempt(100).await, Ok(()));
    assert_eq!(attempt(100).await, Err(ErrorKind::QuotaExceeded));
}

#[tokio::test]
async fn limit_of_an_owner_is_counted_in_the_tenant() {
    let tenants = Tenants::new(InMemorySessionBackend::new(), TenantConfig::default());
    let owner = Owner::parse("user:1").unwrap();
    let sign_in = async |tenant: &str| {
        let backend = tenants.of(tenant).unwrap();
        let record = Record::new("{}", backend.clock().now()).with_owner(Some(owner.clone()));
        let how = Write::create().with_limits(Limits::none().with_per_owner(1));
        backend
            .write(&SessionKey::generate().unwrap(), record, how)
            .await
            .map(drop)
            .map_err(|error| error.kind())
    };
    assert_eq!(sign_in("acme").await, Ok(()));
    assert_eq!(sign_in("acme").await, Err(ErrorKind::QuotaExceeded));
    assert_eq!(sign_in("globex").await, Ok(()));
    let mine = Filter::unscoped().with_owner(owner.clone());
    assert_eq!(tenants.of("acme").unwrap().count(&mine).await.unwrap(), 1);
}

cloakroom_testkit::conformance!(without_limits, |clock| async move {
    let inner = crate::isolation::NoLimits(InMemorySessionBackend::with_clock(clock));
    Tenants::new(inner, TenantConfig::default()).of("acme").unwrap()
});

#[tokio::test]
async fn limit_over_a_backend_that_checks_none_every_operation_invalid_config() {
    let inner = crate::isolation::NoLimits(InMemorySessionBackend::new());
    let acme = Tenants::new(inner, TenantConfig::default().with_max_sessions(5)).of("acme").unwrap();
    crate::isolation::refuses_everything(&acme, ErrorKind::InvalidConfig).await;
    assert!(!Capability::sealed(1, 1).limits);
}
