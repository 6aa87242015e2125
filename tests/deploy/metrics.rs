//! Dashboard and rules ask for what a running proxy exposes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use countersign::telemetry::metrics::{Limit, Metrics};
use http::{Method, StatusCode};

use super::{json, support, text, words};

/// What a scrape adds to each series, and what a histogram's series have.
const LABELS_OF_PROMETHEUS: [&str; 3] = ["job", "instance", "le"];

/// The names of the labels of each series in an exposition.
fn series(exposition: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut series = BTreeMap::<_, BTreeSet<_>>::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        series.entry(name).or_default().extend(label_names(labels.map_or("", |(labels, _)| labels)));
    }
    series
}

/// The names in `a="x",b=~"y|z"`, in which a value contains neither comma nor quote.
fn label_names(labels: &str) -> Vec<String> {
    let names = labels.split(',').filter_map(|label| label.split(['=', '!']).next());
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// What the program exposes: a running proxy's series, and those that appear with their first event.
async fn exposed() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::default();
    metrics.answered(Some(&Method::GET), Some(StatusCode::OK), "upstream", Duration::ZERO);
    metrics.retried("connect");
    metrics.rejected("host");
    metrics.reached(Limit::Connections);
    let running = support::start().await;
    let mut exposed = series(&running.proxy.admin("/metrics").await.text());
    for (name, labels) in series(&metrics.exposition().1) {
        exposed.entry(name).or_default().extend(labels);
    }
    exposed
}

/// Each series that the dashboard and the rules ask for, with the labels by which they select.
fn asked() -> Vec<(String, Vec<String>)> {
    let texts = ["deploy/grafana-dashboard.json", "deploy/alerts.yaml", "deploy/alerts.test.yaml"].map(text);
    let selectors = |text: &String| -> Vec<(String, Vec<String>)> {
        let text = text.replace("\\\"", "\"");
        let belongs = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let selector = |(name, rest): (&str, &str)| {
            let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            (name.to_owned(), label_names(labels.map_or("", |(labels, _)| labels)))
        };
        words(&text, "countersign_", belongs).into_iter().map(selector).collect()
    };
    texts.iter().flat_map(selectors).collect()
}

#[tokio::test]
async fn dashboard_and_rules_ask_for_series_and_labels_that_exist() {
    let exposed = exposed().await;
    let asked = asked();
    assert!(asked.len() > 50, "{asked:?}");
    for (name, labels) in asked {
        let Some(known) = exposed.get(&name) else { panic!("{name} is none of {:?}", exposed.keys()) };
        for label in labels {
            let exists = known.contains(&label) || LABELS_OF_PROMETHEUS.contains(&label.as_str());
            assert!(exists, "{name} has no label {label}");
        }
    }
}

#[tokio::test]
async fn the_dashboard_shows_every_metric() {
    let dashboard = text("deploy/grafana-dashboard.json");
    for name in exposed().await.keys() {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(dashboard.contains(family.unwrap_or(name)), "{name}");
    }
}

#[test]
fn no_two_panels_of_the_dashboard_have_one_id_or_one_place() {
    let dashboard = json("deploy/grafana-dashboard.json");
    let panels = dashboard["panels"].as_array().expect("a list");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let side = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(x < 24 && taken.insert((x, y)), "{}", panel["title"]);
            }
        }
    }
}
