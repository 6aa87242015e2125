//! The queue in front of the SDK's thread: what does not fit is left out, counted, and reported with the next batch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use tracing::warn;

/// How many spans wait, and how many were lost because the queue was full.
#[derive(Debug)]
pub(super) struct Fill {
    capacity: usize,
    waiting: AtomicUsize,
    lost: AtomicU64,
}

impl Fill {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, waiting: AtomicUsize::new(0), lost: AtomicU64::new(0) }
    }

    /// Takes a place, if there is one.
    fn enter(&self) -> bool {
        let enters = self.waiting.fetch_add(1, Ordering::Relaxed) < self.capacity;
        if !enters {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        enters
    }

    /// Gives places back; how many spans found none meanwhile.
    fn leave(&self, spans: usize) -> u64 {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        self.lost.swap(0, Ordering::Relaxed)
    }
}

/// The end of the queue that requests put their spans into.
#[derive(Debug)]
pub(super) struct Queue {
    batches: Arc<BatchSpanProcessor>,
    fill: Arc<Fill>,
}

impl Queue {
    pub(super) fn new(batches: Arc<BatchSpanProcessor>, fill: Arc<Fill>) -> Self {
        Self { batches, fill }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.fill.enter() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    /// Does nothing: whichever thread drops the last handle on the tracer would wait here. The process flushes when
    /// it ends.
    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The other end: an exporter that gives back the places of what it takes.
#[derive(Debug)]
pub(super) struct Emptied<E> {
    exporter: E,
    fill: Arc<Fill>,
}

impl<E> Emptied<E> {
    pub(super) fn new(exporter: E, fill: Arc<Fill>) -> Self {
        Self { exporter, fill }
    }
}

impl<E: SpanExporter> SpanExporter for Emptied<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let lost = self.fill.leave(batch.len());
        if lost > 0 {
            warn!(spans = lost, "spans were lost: more ended than the collector took");
        }
        self.exporter.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_spans_are_counted_until_the_next_batch_leaves() {
        let fill = Fill::new(2);
        assert_eq!([(); 4].map(|()| fill.enter()), [true, true, false, false]);
        assert_eq!(fill.leave(1), 2);
        assert_eq!([(); 2].map(|()| fill.enter()), [true, false]);
        assert_eq!(fill.leave(2), 1);
        assert_eq!(fill.leave(0), 0);
    }
}
