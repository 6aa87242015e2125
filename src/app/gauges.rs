//! Metrics that are read when they are scraped: credentials, clock, memory.

use std::{fmt, time::SystemTime};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::{clock::Clock, credentials::channel::Receiver, proxy::Budget};

/// Reads the state of the other parts.
#[derive(Debug)]
pub(super) struct Gauges {
    credentials: Receiver,
    clock: Clock,
    budget: Budget,
}

impl Gauges {
    /// Gauges of these parts.
    pub(super) fn new(credentials: Receiver, clock: Clock, budget: Budget) -> Self {
        Self { credentials, clock, budget }
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.credentials.state();
        let gauge = |encoder: &mut DescriptorEncoder<'_>, name, help, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        let memory = self.budget.used() as f64;
        gauge(&mut encoder, "countersign_body_memory_bytes", "Request bodies held in memory", memory)?;
        let offset = self.clock.offset_millis() as f64 / 1_000.0;
        let help = "What is added to the local clock to get that of AWS";
        gauge(&mut encoder, "countersign_clock_offset_seconds", help, offset)?;
        if let Some(expiry) = state.issued.as_ref().and_then(|issued| issued.expiry) {
            let seconds = expiry.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let help = "When the credentials end, in seconds since 1970";
            gauge(&mut encoder, "countersign_credentials_expiry_timestamp_seconds", help, seconds)?;
        }
        let mut family = encoder.encode_descriptor(
            "countersign_credentials_refresh",
            "Attempts to obtain credentials",
            None,
            MetricType::Counter,
        )?;
        for (outcome, count) in [("success", state.refreshes), ("failure", state.failures)] {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }
}
