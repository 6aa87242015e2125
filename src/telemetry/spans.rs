//! Spans of requests, sent in batches to a collector that speaks OTLP; a cargo feature.
//!
//! What a span says is decided where requests are accounted for. No request waits for anything here: spans wait
//! in a queue of limited length, which a thread of the SDK empties.

mod collector;
mod queue;
mod span;

use std::{error::Error, fmt, io, sync::Arc, thread, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    resource::TelemetryResourceDetector,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanExporter as _, SpanProcessor,
    },
};
use tokio::{sync::oneshot, time::timeout};
use tracing::warn;

use crate::{
    aws_http::{self, TrustError},
    clock::Clock,
};
use collector::Collector;
use queue::{Emptied, Fill, Queue};
pub use span::{Parent, Span, Spans};

/// How long the last spans may take at the end of the process.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is exported, where to, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where batches are posted to.
    pub endpoint: Uri,
    /// What goes along with each batch, secrets included: values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// For one batch.
    pub timeout: Duration,
    /// How the collector is reached.
    pub http: aws_http::Settings,
    /// Attributes of the process, such as `service.name`.
    pub resource: Vec<(String, String)>,
    /// Which requests get a span.
    pub sampling: Sampling,
    /// How spans wait.
    pub waiting: Waiting,
}

/// Which requests get a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Whether a request that comes from a trace is treated as its caller was.
    pub follows_parent: bool,
    /// The share of all others, from 0 to 1.
    pub share: f64,
}

/// How spans wait for the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many there may be; further ones are lost.
    pub most: usize,
    /// How many go into one batch.
    pub batch: usize,
    /// How long they wait when there are fewer.
    pub delay: Duration,
}

/// Why no span can be exported.
#[derive(Debug)]
pub enum StartError {
    /// A file of trusted roots cannot be used.
    Trust(TrustError),
    /// The system gives no means to wait for sockets.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way to the collector cannot be made")
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Trust(error) => Some(error),
            Self::System(error) => Some(error),
        }
    }
}

/// The way from requests to the collector.
#[derive(Debug)]
pub struct Export {
    spans: Spans,
    batches: Arc<BatchSpanProcessor>,
}

impl Export {
    /// Starts the thread that sends; `server` is the URL that clients connect to.
    ///
    /// Everything is set here that the SDK would otherwise take from the environment, except for its limits on
    /// one span (`OTEL_SPAN_…_LIMIT`).
    ///
    /// # Errors
    /// When trusted roots or means to wait for sockets are not to be had.
    ///
    /// # Panics
    /// When the system gives no thread, in the SDK.
    pub fn start(settings: &Settings, server: &str, clock: Clock) -> Result<Self, StartError> {
        let fill = Arc::new(Fill::new(settings.waiting.most));
        let mut exporter = Emptied::new(exporter(settings)?, Arc::clone(&fill));
        exporter.set_resource(&resource(settings));
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.waiting.most)
            .with_max_export_batch_size(settings.waiting.batch)
            .with_scheduled_delay(settings.waiting.delay)
            .build();
        let batches = Arc::new(BatchSpanProcessor::new(exporter, batches));
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler(settings.sampling))
            .with_span_processor(Queue::new(Arc::clone(&batches), fill))
            .build();
        let spans = Spans::new(provider.tracer("countersign"), server, clock);
        Ok(Self { spans, batches })
    }

    /// What begins spans.
    #[must_use]
    pub fn spans(&self) -> Spans {
        self.spans.clone()
    }

    /// Sends what still waits, within a few seconds.
    pub async fn end(self) {
        let batches = self.batches;
        let (sent, all_sent) = oneshot::channel();
        // A thread, so that a second signal can end the process without waiting for it.
        let flush = move || {
            let flushed = batches.shutdown_with_timeout(FAREWELL);
            // The receiver is gone if this took too long.
            let _ = sent.send(flushed);
        };
        if let Err(error) = thread::Builder::new().name("spans".to_owned()).spawn(flush) {
            warn!(%error, "the last spans are lost");
            return;
        }
        match timeout(FAREWELL, all_sent).await {
            // A batch that the collector did not take has been reported.
            Ok(Ok(Ok(()))) => {}
            Ok(_) | Err(_) => warn!("the last spans are lost: the collector did not take them in time"),
        }
    }
}

fn exporter(settings: &Settings) -> Result<SpanExporter, StartError> {
    let collector = Collector::new(&settings.endpoint, &settings.http, settings.timeout)?;
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = settings.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(collector)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.endpoint.to_string())
        .with_timeout(settings.timeout)
        .with_headers(headers)
        .build();
    exporter.map_err(|error| StartError::System(io::Error::other(error)))
}

fn resource(settings: &Settings) -> Resource {
    let attributes = settings.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes)
        .build()
}

fn sampler(sampling: Sampling) -> Sampler {
    let share = Sampler::TraceIdRatioBased(sampling.share);
    if sampling.follows_parent { Sampler::ParentBased(Box::new(share)) } else { share }
}
