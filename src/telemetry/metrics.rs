//! Counters and histograms for Prometheus, with labels from closed sets.

mod limit;
mod tunnels;

use std::{fmt::Write, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use tokio::time::Instant;

pub use limit::Limit;
pub use tunnels::TunnelGuard;
use tunnels::Tunnels;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All counters. The data path counts, and the admin listener shows them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Histogram,
    signing: Histogram,
    in_flight: Gauge,
    connections: Gauge,
    retries: Family<ReasonLabel, Counter>,
    rejections: Family<ReasonLabel, Counter>,
    limits: Family<LimitLabel, Counter>,
    tunnels: Tunnels,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    /// The label is empty where there was no answer.
    status: Option<u16>,
    origin: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

/// Observes the time until it is dropped.
#[derive(Debug)]
pub struct Timer<'a> {
    histogram: &'a Histogram,
    start: Instant,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.histogram.observe(self.start.elapsed().as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            signing: Histogram::new(exponential_buckets(0.000_001, 2.0, 14)),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            retries: Family::default(),
            rejections: Family::default(),
            limits: Family::default(),
            tunnels: Tunnels::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("countersign_http_requests", "Requests answered", self.requests.clone());
        registry.register(
            "countersign_http_request_duration_seconds",
            "Time from the request head to the response head",
            self.duration.clone(),
        );
        registry.register(
            "countersign_signing_duration_seconds",
            "Time to sign one request",
            self.signing.clone(),
        );
        registry.register(
            "countersign_in_flight_requests",
            "Requests being answered",
            self.in_flight.clone(),
        );
        registry.register("countersign_connections", "Connections of clients", self.connections.clone());
        registry.register("countersign_upstream_retries", "Attempts after the first", self.retries.clone());
        registry.register("countersign_guard_rejections", "Requests not admitted", self.rejections.clone());
        registry.register(
            "countersign_limits_reached",
            "Requests and connections that met a limit",
            self.limits.clone(),
        );
        self.tunnels.register(registry);
    }

    /// Adds metrics that are read when they are scraped.
    pub fn collect(&mut self, collector: impl Collector) {
        self.registry.register_collector(Box::new(collector));
    }

    /// Counts a request that was answered, or whose client left before: without a status.
    pub fn answered(
        &self,
        method: Option<&http::Method>,
        status: Option<http::StatusCode>,
        origin: &'static str,
        took: Duration,
    ) {
        let labels = RequestLabels {
            method: method.map_or("other", method_label),
            status: status.map(|status| status.as_u16()),
            origin,
        };
        self.requests.get_or_create(&labels).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts an attempt after the first.
    pub fn retried(&self, reason: &'static str) {
        self.retries.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a request that was not admitted.
    pub fn rejected(&self, reason: &'static str) {
        self.rejections.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts what met a limit.
    pub fn reached(&self, limit: Limit) {
        self.limits.get_or_create(&LimitLabel { limit: limit.name() }).inc();
    }

    /// Times one signature.
    #[must_use]
    pub fn signing(&self) -> Timer<'_> {
        Timer { histogram: &self.signing, start: Instant::now() }
    }

    /// Counts a request as being answered, until the guard is dropped.
    #[must_use]
    pub fn in_flight(&self) -> GaugeGuard {
        GaugeGuard::new(&self.in_flight)
    }

    /// Counts a connection of a client, until the guard is dropped.
    #[must_use]
    pub fn connection(&self) -> GaugeGuard {
        GaugeGuard::new(&self.connections)
    }

    /// Counts a WebSocket that is open, until the guard is dropped.
    #[must_use]
    pub fn tunnel(&self) -> TunnelGuard {
        self.tunnels.begin()
    }

    /// Requests being answered.
    #[must_use]
    pub fn requests_in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// The exposition and its media type.
    #[must_use]
    pub fn exposition(&self) -> (&'static str, String) {
        let mut body = String::new();
        if text::encode(&mut body, &self.registry).is_err() {
            body.clear();
            body.write_str("# EOF\n").expect("a String takes everything");
        }
        (CONTENT_TYPE, body)
    }
}

/// Counts one more in a gauge until it is dropped.
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Clients can make up methods, and each label value is a time series: unknown ones share `other`.
fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
