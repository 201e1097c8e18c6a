//! Replication over pairs of real stores.

mod cluster;
mod kill;
mod queue;

use std::time::Duration;

use cloakroom_core::{Clock, InMemorySessionBackend, SessionBackend, SessionBackendExt, SharedBackend};
use cloakroom_layer_compression::{CompressionLayer, ZstdCompressor};
use cloakroom_layer_encryption::{EncryptionLayer, KeyRing, SealKey};
use cloakroom_layer_replication::ReplicationStrategy::{
    self, AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{ReplicatedSessionBackend, ReplicationConfig};

use crate::place;

/// With a worker for the queue, and under the layers that change bytes.
fn stack(
    primary: impl SessionBackend,
    secondary: impl SessionBackend,
    strategy: ReplicationStrategy,
) -> SharedBackend {
    // 64 tasks write one session, perhaps beside other tests on few cores.
    let config = ReplicationConfig::new().with_patience(Duration::from_secs(20));
    let backend = ReplicatedSessionBackend::with_config(primary, vec![secondary], strategy, config);
    if strategy == AsyncReplication {
        drop(tokio::spawn(backend.worker().run()));
    }
    let ring = KeyRing::new([SealKey::generate().expect("a key")]).expect("a ring");
    let compression = CompressionLayer::new(ZstdCompressor::new()).with_threshold(0);
    backend.layer(EncryptionLayer::new(ring)).layer(compression).shared()
}

async fn two_postgres(clock: Clock, strategy: ReplicationStrategy) -> Option<SharedBackend> {
    let (primary, secondary) = (place::postgres(clock.clone()).await?, place::postgres_replica(clock).await?);
    Some(stack(primary, secondary, strategy))
}

async fn postgres_and_mariadb(clock: Clock, strategy: ReplicationStrategy) -> Option<SharedBackend> {
    let (primary, secondary) = (place::postgres(clock.clone()).await?, place::mariadb(clock).await?);
    Some(stack(primary, secondary, strategy))
}

async fn sqlite_and_file(clock: Clock, strategy: ReplicationStrategy) -> SharedBackend {
    stack(place::sqlite(clock.clone()).await, place::file(clock).await, strategy)
}

async fn sqlite_and_memory(clock: Clock, strategy: ReplicationStrategy) -> SharedBackend {
    stack(place::sqlite(clock.clone()).await, InMemorySessionBackend::with_clock(clock), strategy)
}

cloakroom_testkit::conformance!(two_postgres_async, optional | clock | two_postgres(clock, AsyncReplication));
cloakroom_testkit::conformance!(two_postgres_sync, optional | clock | two_postgres(clock, SyncReplication));
cloakroom_testkit::conformance!(
    two_postgres_acknowledged,
    optional | clock | two_postgres(clock, AcknowledgedReplication)
);

cloakroom_testkit::conformance!(
    postgres_and_mariadb_async,
    optional | clock | postgres_and_mariadb(clock, AsyncReplication)
);
cloakroom_testkit::conformance!(
    postgres_and_mariadb_sync,
    optional | clock | postgres_and_mariadb(clock, SyncReplication)
);
cloakroom_testkit::conformance!(
    postgres_and_mariadb_acknowledged,
    optional | clock | postgres_and_mariadb(clock, AcknowledgedReplication)
);

cloakroom_testkit::conformance!(sqlite_and_file_async, |clock| sqlite_and_file(clock, AsyncReplication));
cloakroom_testkit::conformance!(sqlite_and_file_sync, |clock| sqlite_and_file(clock, SyncReplication));
cloakroom_testkit::conformance!(sqlite_and_file_acknowledged, |clock| sqlite_and_file(
    clock,
    AcknowledgedReplication
));

cloakroom_testkit::conformance!(sqlite_and_memory_async, |clock| sqlite_and_memory(clock, AsyncReplication));
cloakroom_testkit::conformance!(sqlite_and_memory_sync, |clock| sqlite_and_memory(clock, SyncReplication));
cloakroom_testkit::conformance!(sqlite_and_memory_acknowledged, |clock| sqlite_and_memory(
    clock,
    AcknowledgedReplication
));

/// Real servers and processes need real time.
async fn pause(time: Duration) {
    tokio::time::sleep(time).await; // tidy-allow: they have no clock of ours
}
