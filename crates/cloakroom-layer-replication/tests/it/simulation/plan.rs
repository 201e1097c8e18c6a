//! What the seed chooses.

use std::time::Duration;

use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{
    Failover, QueueFull, ReplicationConfig, ReplicationStrategy, SecondaryDown,
};

use super::world::World;

pub(crate) const POLL: Duration = Duration::from_millis(500);
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) strategy: ReplicationStrategy,
    pub(crate) servers: usize,
    pub(crate) processes: usize,
    pub(crate) failover: Failover,
    pub(crate) secondary_down: SecondaryDown,
    /// How long callers wait for an answer: less than a poll, or longer than everything.
    pub(crate) timeout: Duration,
    /// The authority goes for good in the end, and the others must have everything.
    pub(crate) disaster: bool,
    pub(crate) clients: usize,
    pub(crate) steps: u64,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let strategy = [SyncReplication, AcknowledgedReplication, SyncReplication, AsyncReplication]
            [(seed % 4) as usize];
        let failover = if (seed / 4).is_multiple_of(2) { Failover::Promote } else { Failover::Refuse };
        let promotes = failover == Failover::Promote;
        let processes = if (seed / 16).is_multiple_of(4) { 1 } else { 2 };
        let refuses = (seed / 64).is_multiple_of(5);
        Self {
            strategy,
            servers: 2 + (seed / 8 % 2) as usize,
            processes,
            failover,
            secondary_down: if refuses { SecondaryDown::Refuse } else { SecondaryDown::Continue },
            timeout: Duration::from_millis(if (seed / 320).is_multiple_of(2) { 300 } else { 4_000 }),
            disaster: promotes && strategy != AsyncReplication && (seed / 640).is_multiple_of(3),
            clients: if processes == 1 { 3 } else { 2 },
            steps: if processes == 1 { 12 } else { 10 },
        }
    }

    pub(crate) fn config(&self, world: &World) -> ReplicationConfig {
        let full = [QueueFull::Wait, QueueFull::Drop, QueueFull::Degrade][world.below(3) as usize];
        ReplicationConfig::new()
            .with_retries(2, Duration::from_millis(50))
            .with_queue_capacity(4)
            .with_queue_full(full)
            .with_secondary_down(self.secondary_down)
            .with_failover(self.failover)
            .with_poll_interval(POLL)
            .with_patience(PATIENCE)
    }

    /// Whether a server may answer one process for seconds, and not another: with fail-over nothing is promised then.
    pub(crate) fn partitions(&self) -> bool {
        self.processes > 1 && self.failover == Failover::Refuse
    }

    /// Whether what a process is told of the roles must come through but for single messages, since what it takes for
    /// a lost server another one would reach.
    pub(crate) fn spares_roles(&self) -> bool {
        self.processes > 1 && self.failover == Failover::Promote
    }
}
