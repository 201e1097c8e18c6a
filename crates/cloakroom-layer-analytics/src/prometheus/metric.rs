use std::collections::HashMap;

use cloakroom_core::{ErrorKind, Removal};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts};

use crate::event::{AnalyticsEvent, Operation, Outcome};

/// All metrics, registered as one collector.
#[derive(Clone)]
pub(super) struct Families {
    is_per_tenant: bool,
    created: IntCounterVec,
    accessed: IntCounterVec,
    hit: IntCounterVec,
    miss: IntCounterVec,
    access_latency: HistogramVec,
    operation_latency: HistogramVec,
    /// Those of `operation_latency`, in the order of [`OTHERS`]. Of all tenants together: a histogram is many series.
    operations: [Histogram; OTHERS.len()],
    size: HistogramVec,
    saved: IntCounterVec,
    stored: IntCounterVec,
    marked: IntCounterVec,
    touched: IntCounterVec,
    rotated: IntCounterVec,
    conflicted: IntCounterVec,
    gone: IntCounterVec,
    deleted: IntCounterVec,
    expired: IntCounter,
    error: IntCounterVec,
    cancelled: IntCounterVec,
    /// Without labels; a vector because one that was never set is not shown.
    active: IntGaugeVec,
}

/// The metrics of one tenant, found once. Only what is rare is looked up by label.
pub(super) struct Meter {
    tenant: Option<Box<str>>,
    created: IntCounter,
    accessed: IntCounter,
    hit: IntCounter,
    miss: IntCounter,
    access_latency: Histogram,
    size: Histogram,
    saved: IntCounter,
    stored: IntCounter,
    marked: IntCounter,
    touched: IntCounter,
    rotated: IntCounter,
    conflicted: IntCounter,
    gone: IntCounter,
    /// In the order of [`REASONS`].
    deleted: [IntCounter; REASONS.len()],
}

/// Operations beside `read`, which has a histogram of its own.
const OTHERS: [Operation; 8] = [
    Operation::Write,
    Operation::Rotate,
    Operation::Touch,
    Operation::Remove,
    Operation::Scan,
    Operation::Count,
    Operation::RemoveAll,
    Operation::Sweep,
];

/// Errors that alerts look for. Shown from the start: a series that appears with its first error has no increase to see.
const ALARMING: [(Operation, ErrorKind); 3] = [
    (Operation::Read, ErrorKind::Corrupted),
    (Operation::Read, ErrorKind::Unavailable),
    (Operation::Write, ErrorKind::Unavailable),
];

const REASONS: [Removal; 5] =
    [Removal::Explicit, Removal::Flushed, Removal::Expired, Removal::Revoked, Removal::Rotated];

impl Families {
    pub(super) fn new(
        constant: &HashMap<String, String>,
        tenant: Option<&str>,
        latency_buckets: &[f64],
        size_buckets: &[f64],
    ) -> prometheus::Result<Self> {
        let options = |name: &str, help: &str| Opts::new(name, help).const_labels(constant.clone());
        let counter = |name: &str, help: &str, own: &[&'static str]| {
            let labels: Vec<&str> = own.iter().copied().chain(tenant).collect();
            IntCounterVec::new(options(name, help), &labels)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts { common_opts: options(name, help), buckets: buckets.to_vec() };
            let labels: Vec<&str> = tenant.into_iter().collect();
            HistogramVec::new(options, &labels)
        };
        let latency = latency_buckets;
        let help = "Duration of operations other than reads.";
        let all = HistogramOpts {
            common_opts: options("session_operation_latency_seconds", help),
            buckets: latency.to_vec(),
        };
        let operation_latency = HistogramVec::new(all, &["operation"])?;
        let of = |operation: Operation| operation_latency.get_metric_with_label_values(&[operation.as_str()]);
        let [write, rotate, touch, remove, scan, count, remove_all, sweep] = OTHERS;
        let operations = [
            of(write)?,
            of(rotate)?,
            of(touch)?,
            of(remove)?,
            of(scan)?,
            of(count)?,
            of(remove_all)?,
            of(sweep)?,
        ];
        Ok(Self {
            is_per_tenant: tenant.is_some(),
            created: counter("session_created_total", "New sessions.", &[])?,
            accessed: counter("session_accessed_total", "Reads that were answered.", &[])?,
            hit: counter("session_access_hit_total", "Reads that found a session.", &[])?,
            miss: counter("session_access_miss_total", "Reads that found none, or a marker.", &[])?,
            access_latency: histogram("session_access_latency_seconds", "Duration of reads.", latency)?,
            operation_latency,
            operations,
            size: histogram("session_size_bytes", "Payloads of written sessions.", size_buckets)?,
            saved: counter("session_saved_total", "Sessions written again.", &[])?,
            stored: counter(
                "session_stored_total",
                "Sessions written whatever was there: copies, values by name.",
                &[],
            )?,
            marked: counter("session_marked_total", "Markers written.", &[])?,
            touched: counter("session_touched_total", "Sessions whose end moved.", &[])?,
            rotated: counter("session_rotated_total", "Sessions that moved to another key.", &[])?,
            conflicted: counter("session_conflicted_total", "Writes after somebody else's.", &[])?,
            gone: counter("session_gone_total", "Writes and touches of ended sessions.", &[])?,
            deleted: counter("session_deleted_total", "Sessions that were ended, by reason.", &["reason"])?,
            expired: IntCounter::with_opts(options(
                "session_expired_total",
                "Expired records that sweeping deleted, markers included.",
            ))?,
            error: counter(
                "session_error_total",
                "Errors, by operation and kind; conflicts and ended sessions are none.",
                &["operation", "kind"],
            )?,
            cancelled: counter("session_cancelled_total", "Calls whose caller went away.", &["operation"])?,
            active: IntGaugeVec::new(
                options("session_active", "Live sessions in the store when they were last counted."),
                &[],
            )?,
        })
    }

    /// The metrics of a tenant, from now on shown with 0.
    pub(super) fn meter(&self, tenant: &str) -> prometheus::Result<Meter> {
        let tenant = self.is_per_tenant.then_some(tenant);
        let plain: Vec<&str> = tenant.into_iter().collect();
        let counter = |family: &IntCounterVec| family.get_metric_with_label_values(&plain);
        let with = |own: &'static str| [own].into_iter().chain(tenant).collect::<Vec<&str>>();
        let reason = |reason: Removal| self.deleted.get_metric_with_label_values(&with(reason.as_str()));
        for (operation, kind) in ALARMING {
            let own = [operation.as_str(), kind.as_str()].into_iter().chain(tenant);
            self.error.get_metric_with_label_values(&own.collect::<Vec<&str>>())?;
        }
        let [explicit, flushed, expired, revoked, rotated] = REASONS;
        Ok(Meter {
            tenant: tenant.map(Into::into),
            created: counter(&self.created)?,
            accessed: counter(&self.accessed)?,
            hit: counter(&self.hit)?,
            miss: counter(&self.miss)?,
            access_latency: self.access_latency.get_metric_with_label_values(&plain)?,
            size: self.size.get_metric_with_label_values(&plain)?,
            saved: counter(&self.saved)?,
            stored: counter(&self.stored)?,
            marked: counter(&self.marked)?,
            touched: counter(&self.touched)?,
            rotated: counter(&self.rotated)?,
            conflicted: counter(&self.conflicted)?,
            gone: counter(&self.gone)?,
            deleted: [
                reason(explicit)?,
                reason(flushed)?,
                reason(expired)?,
                reason(revoked)?,
                reason(rotated)?,
            ],
        })
    }

    pub(super) fn set_active(&self, count: u64) {
        if let Ok(gauge) = self.active.get_metric_with_label_values::<&str>(&[]) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn all(&self) -> [&dyn Collector; 19] {
        [
            &self.created,
            &self.accessed,
            &self.hit,
            &self.miss,
            &self.access_latency,
            &self.operation_latency,
            &self.size,
            &self.saved,
            &self.stored,
            &self.marked,
            &self.touched,
            &self.rotated,
            &self.conflicted,
            &self.gone,
            &self.deleted,
            &self.expired,
            &self.error,
            &self.cancelled,
            &self.active,
        ]
    }
}

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

impl Meter {
    pub(super) fn record(&self, event: &AnalyticsEvent, families: &Families) {
        let seconds = event.latency.as_secs_f64();
        match OTHERS.iter().position(|operation| *operation == event.operation) {
            None => self.access_latency.observe(seconds),
            Some(at) => {
                if let Some(histogram) = families.operations.get(at) {
                    histogram.observe(seconds);
                }
            }
        }
        match event.outcome {
            Outcome::Created => self.write(&self.created, event),
            Outcome::Saved => self.write(&self.saved, event),
            Outcome::Stored => self.write(&self.stored, event),
            Outcome::Rotated { .. } => self.write(&self.rotated, event),
            Outcome::Accessed { hit } => {
                self.accessed.inc();
                if hit { &self.hit } else { &self.miss }.inc();
            }
            Outcome::Marked => self.marked.inc(),
            Outcome::Touched => self.touched.inc(),
            Outcome::Conflicted => self.conflicted.inc(),
            Outcome::Gone => self.gone.inc(),
            Outcome::Deleted { reason, count } => {
                let at = REASONS.iter().position(|known| *known == reason);
                match at.and_then(|at| self.deleted.get(at)) {
                    Some(counter) => counter.inc_by(count),
                    // A reason that is younger than this crate.
                    None => self.add(&families.deleted, &[reason.as_str()], count),
                }
            }
            Outcome::Expired { count } => families.expired.inc_by(count),
            Outcome::Failed { kind } => {
                self.add(&families.error, &[event.operation.as_str(), kind.as_str()], 1);
            }
            Outcome::Cancelled => self.add(&families.cancelled, &[event.operation.as_str()], 1),
            Outcome::Listed { .. } | Outcome::Counted { .. } => {}
        }
    }

    fn write(&self, counter: &IntCounter, event: &AnalyticsEvent) {
        counter.inc();
        if let Some(bytes) = event.payload {
            self.size.observe(bytes as f64);
        }
    }

    fn add(&self, family: &IntCounterVec, own: &[&str], count: u64) {
        let labels: Vec<&str> = own.iter().copied().chain(self.tenant.as_deref()).collect();
        if let Ok(counter) = family.get_metric_with_label_values(&labels) {
            counter.inc_by(count);
        }
    }
}
