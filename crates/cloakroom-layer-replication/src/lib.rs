#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod decision;
mod doubt;
mod error;
mod finish;
mod knowledge;
mod layer;
mod order;
mod queue;
mod reconcile;
mod regime;
mod repair;
mod replica;
mod status;
mod strategy;
mod worker;

pub use backend::ReplicatedSessionBackend;
pub use layer::ReplicationLayer;
pub use reconcile::{Progress, Reconciled};
pub use status::{CopyStatus, ReplicationStatus};
pub use strategy::{Failover, QueueFull, ReplicationConfig, ReplicationStrategy, SecondaryDown};
pub use worker::{ReplicationWorker, RunningWorker};
