//! Counts the WebSockets that pass through the proxy.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use tokio::time::Instant;

use super::GaugeGuard;

#[derive(Debug)]
pub(super) struct Tunnels {
    open: Gauge,
    duration: Histogram,
    bytes: Family<DirectionLabel, Counter>,
    up: Counter,
    down: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabel {
    direction: &'static str,
}

impl Default for Tunnels {
    fn default() -> Self {
        let bytes = Family::<DirectionLabel, Counter>::default();
        let of = |direction| bytes.get_or_create(&DirectionLabel { direction }).clone();
        let (up, down) = (of("up"), of("down"));
        Self {
            open: Gauge::default(),
            // Up to 9 hours: API Gateway's limit is 2, that of other services is not known.
            duration: Histogram::new(exponential_buckets(0.25, 2.0, 18)),
            bytes,
            up,
            down,
        }
    }
}

impl Tunnels {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("countersign_tunnels", "Open WebSockets", self.open.clone());
        registry.register(
            "countersign_tunnel_seconds",
            "Time from the answer to the handshake to the end of the WebSocket",
            self.duration.clone(),
        );
        registry.register(
            "countersign_tunnel_bytes",
            "Bytes behind the handshake, frame heads included",
            self.bytes.clone(),
        );
    }

    pub(super) fn begin(&self) -> TunnelGuard {
        TunnelGuard {
            up: self.up.clone(),
            down: self.down.clone(),
            duration: self.duration.clone(),
            start: Instant::now(),
            _open: GaugeGuard::new(&self.open),
        }
    }
}

/// Counts one WebSocket as open until it is dropped, and observes then how long it lasted.
#[derive(Debug)]
pub struct TunnelGuard {
    /// Bytes from the client to the upstream.
    pub up: Counter,
    /// Bytes from the upstream to the client.
    pub down: Counter,
    duration: Histogram,
    start: Instant,
    _open: GaugeGuard,
}

impl Drop for TunnelGuard {
    fn drop(&mut self) {
        self.duration.observe(self.start.elapsed().as_secs_f64());
    }
}
