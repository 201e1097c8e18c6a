#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod composite;
mod event;
mod layer;
mod logger;
#[cfg(feature = "prometheus")]
mod prometheus;
mod queue;
mod sink;

pub use backend::InstrumentedSessionBackend;
pub use composite::CompositeAnalytics;
pub use event::{AnalyticsEvent, Operation, Outcome};
pub use layer::AnalyticsLayer;
pub use logger::LoggerAnalytics;
#[cfg(feature = "prometheus")]
pub use prometheus::{PrometheusAnalytics, PrometheusBuilder};
pub use queue::{AnalyticsWorker, QueuedAnalytics};
pub use sink::SessionAnalytics;
