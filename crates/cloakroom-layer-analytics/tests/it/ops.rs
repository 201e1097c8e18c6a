//! The dashboard and the alert rules in `ops/` name metrics and labels that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cloakroom_core::{ErrorKind, InMemorySessionBackend, SessionBackend, SessionBackendExt};
use cloakroom_layer_analytics::{
    AnalyticsEvent, AnalyticsLayer, Operation, Outcome, PrometheusAnalytics, SessionAnalytics,
};
use cloakroom_testkit::{Fault, Faulty};
use prometheus::{Registry, TextEncoder};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use crate::place::{key, scope, traffic};
use crate::promql::names;

/// Labels by metric, as scraped.
type Exposed = BTreeMap<String, BTreeSet<String>>;

/// What Prometheus adds when it scrapes, and what alerts carry.
const SCRAPED: [&str; 2] = ["job", "instance"];

/// Everything that a registry shows after traffic of every kind.
async fn exposed() -> Exposed {
    let registry = Registry::new();
    let builder = PrometheusAnalytics::builder().with_backend("memory").with_tenants(3);
    let analytics = builder.register(&registry).unwrap();
    let store = Faulty::new(InMemorySessionBackend::new());
    let backend = store.clone().layer(AnalyticsLayer::new(analytics.clone()));
    traffic(&backend, Some(&scope("acme"))).await;
    store.inject(Fault::before(None, ErrorKind::Unavailable));
    backend.read(&key()).await.unwrap_err();
    analytics.record(&AnalyticsEvent::new(Operation::Read, Outcome::Cancelled, std::time::Duration::ZERO));
    analytics.refresh_active(&store).await.unwrap();

    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let mut exposed = Exposed::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let found = names(series).unwrap();
        for metric in found.metrics {
            exposed.entry(metric).or_default().extend(found.labels.clone());
        }
    }
    exposed
}

/// What is wrong with an expression.
fn problems(text: &str, exposed: &Exposed) -> Vec<String> {
    let found = match names(text) {
        Ok(found) if found.metrics.is_empty() => return vec![format!("no metric in {text}")],
        Ok(found) => found,
        Err(problem) => return vec![problem],
    };
    let unknown = found.metrics.iter().filter(|metric| !exposed.contains_key(*metric));
    let mut problems: Vec<String> = unknown.map(|metric| format!("no metric {metric}: {text}")).collect();
    let known: BTreeSet<&str> = found
        .metrics
        .iter()
        .filter_map(|metric| exposed.get(metric))
        .flatten()
        .map(String::as_str)
        .chain(SCRAPED)
        .collect();
    let unknown = found.labels.iter().filter(|label| !known.contains(label.as_str()));
    problems.extend(unknown.map(|label| format!("no label {label}: {text}")));
    problems
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// Every `expr` of every panel, and the queries of variables.
fn dashboard() -> Vec<String> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(text)) = members.get("expr") {
                    found.push(text.clone());
                }
                members.values().for_each(|value| walk(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&read("grafana/cloakroom.json")).unwrap();
    let mut found = Vec::new();
    walk(&dashboard["panels"], &mut found);
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            // `label_values(metric, label)` is Grafana's own; as an expression it is a metric by a label.
            let query = variable["query"]["query"].as_str().or(variable["query"].as_str()).unwrap();
            let (metric, label) = query
                .strip_prefix("label_values(")
                .unwrap()
                .strip_suffix(')')
                .unwrap()
                .split_once(", ")
                .unwrap();
            found.push(format!("count by ({label}) ({metric})"));
        }
    }
    found
}

/// Name, expression and annotations of every rule.
fn alerts() -> Vec<(String, String, String)> {
    let text = read("prometheus/alerts.yml");
    let documents = Yaml::load_from_str(&text).unwrap();
    assert_eq!(documents.len(), 1);
    let member = |rule: &Yaml<'_>, name: &str| {
        rule.as_mapping_get(name)
            .and_then(Yaml::as_str)
            .unwrap_or_else(|| panic!("{name} in {rule:?}"))
            .to_owned()
    };
    let groups = documents[0].as_mapping_get("groups").and_then(Yaml::as_vec).unwrap();
    let rules = groups.iter().flat_map(|group| group.as_mapping_get("rules").and_then(Yaml::as_vec).unwrap());
    rules
        .map(|rule| {
            let about = rule.as_mapping_get("annotations").unwrap();
            let severity = member(rule.as_mapping_get("labels").unwrap(), "severity");
            assert!(["critical", "warning"].contains(&severity.as_str()));
            let about = format!("{}{}", member(about, "summary"), member(about, "description"));
            (member(rule, "alert"), member(rule, "expr"), about)
        })
        .collect()
}

#[tokio::test]
async fn dashboard_and_alerts_name_metrics_and_labels_that_exist() {
    let exposed = exposed().await;
    let (panels, alerts) = (dashboard(), alerts());
    assert!(panels.len() >= 15 && alerts.len() >= 6, "{} and {}", panels.len(), alerts.len());
    let rules = alerts.iter().map(|(_, text, _)| text);
    let found: Vec<String> = panels.iter().chain(rules).flat_map(|text| problems(text, &exposed)).collect();
    assert!(found.is_empty(), "{found:#?}");

    // The other way round: what is counted is looked at, in the dashboard.
    let base = |metric: &str| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
        histogram.unwrap_or(metric).to_owned()
    };
    let shown: BTreeSet<String> =
        panels.iter().flat_map(|text| names(text).unwrap().metrics).map(|metric| base(&metric)).collect();
    let counted: BTreeSet<String> = exposed.keys().map(|metric| base(metric)).collect();
    assert_eq!(counted.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test]
async fn check_finds_a_made_up_metric_and_a_made_up_label() {
    let exposed = exposed().await;
    for (text, wrong) in [
        ("rate(session_imagined_total[5m])", "session_imagined_total"),
        ("sum by (reson) (rate(session_deleted_total[5m]))", "reson"),
        (r#"rate(session_deleted_total{raison="revoked"}[5m])"#, "raison"),
        // Part of a name that exists, and a label of another metric.
        ("session_created", "session_created"),
        ("session_access_latency_seconds", "session_access_latency_seconds"),
        ("sum by (kind) (session_created_total)", "kind"),
        ("1 > 0", "no metric"),
    ] {
        let found = problems(text, &exposed);
        assert!(found.len() == 1 && found[0].contains(wrong), "{text}: {found:?}");
    }
    assert!(problems("sum by (reason, instance) (rate(session_deleted_total[5m]))", &exposed).is_empty());
}

/// Alerts choose by values of labels that are spelled as in the code.
#[test]
fn values_of_labels_in_rules_are_names_of_the_code() {
    use cloakroom_core::Removal;
    let texts: Vec<String> = alerts().into_iter().map(|(_, text, _)| text).chain(dashboard()).collect();
    let mut seen = 0;
    for text in texts {
        for (label, names) in [
            ("reason=\"", vec![Removal::Revoked.as_str(), Removal::Flushed.as_str()]),
            ("kind=\"", vec![ErrorKind::Corrupted.as_str(), ErrorKind::Unavailable.as_str()]),
            ("kind!=\"", vec![ErrorKind::QuotaExceeded.as_str()]),
        ] {
            for rest in text.split(label).skip(1) {
                let value = rest.split('"').next().unwrap();
                assert!(names.contains(&value), "{value} in {text}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 3);
}
