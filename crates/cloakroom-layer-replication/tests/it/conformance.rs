//! The whole suite over each strategy, with a worker where there is a queue.

use cloakroom_core::{Clock, InMemorySessionBackend};
use cloakroom_layer_replication::{ReplicatedSessionBackend, ReplicationConfig, ReplicationStrategy};

type Memory = InMemorySessionBackend;

async fn over(
    clock: Clock,
    secondaries: usize,
    strategy: ReplicationStrategy,
) -> ReplicatedSessionBackend<Memory> {
    let memory = || Memory::with_clock(clock.clone());
    let secondaries = (0..secondaries).map(|_| memory()).collect();
    let backend =
        ReplicatedSessionBackend::with_config(memory(), secondaries, strategy, ReplicationConfig::new());
    if strategy == ReplicationStrategy::AsyncReplication {
        drop(tokio::spawn(backend.worker().run()));
    }
    backend
}

cloakroom_testkit::conformance!(asynchronous, |clock| over(clock, 1, ReplicationStrategy::AsyncReplication));
cloakroom_testkit::conformance!(synchronous, |clock| over(clock, 1, ReplicationStrategy::SyncReplication));
cloakroom_testkit::conformance!(acknowledged, |clock| over(
    clock,
    1,
    ReplicationStrategy::AcknowledgedReplication
));
cloakroom_testkit::conformance!(synchronous_on_three, |clock| over(
    clock,
    2,
    ReplicationStrategy::SyncReplication
));
