//! One span, and where it stands in its trace.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
        Tracer,
    },
};
use opentelemetry_sdk::trace::{self, SdkTracer};

use crate::clock::Clock;

/// The flags that W3C Trace Context defines, sampled and random; others are not to be passed on.
const KNOWN_FLAGS: u8 = 0b11;

/// Begins spans. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Spans {
    tracer: SdkTracer,
    clock: Clock,
    /// What all spans say alike.
    server: Arc<[KeyValue]>,
}

/// What a request says of the span that it comes from, ids and flags in hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a> {
    /// The trace.
    pub trace_id: &'a str,
    /// The caller's span in it.
    pub span_id: &'a str,
    /// Flags, among them whether the caller is sampled.
    pub flags: &'a str,
    /// What vendors have to say.
    pub state: &'a str,
}

/// A span that has begun and is exported when it ends.
#[derive(Debug)]
pub struct Span {
    span: trace::Span,
    begun: SystemTime,
    server: Arc<[KeyValue]>,
}

impl Spans {
    pub(super) fn new(tracer: SdkTracer, server: &str, clock: Clock) -> Self {
        let server = described(server).into_iter().collect();
        Self { tracer, clock, server }
    }

    /// Begins the span of a request.
    ///
    /// Returns the `traceparent` of what the request sets in motion, unless that of the request holds, and the
    /// span, unless the request is not sampled.
    #[must_use]
    pub fn begin(&self, name: &'static str, parent: Option<&Parent<'_>>) -> (Option<String>, Option<Span>) {
        let context = parent.and_then(Parent::context);
        let begins = context.is_none();
        let context = context.map_or_else(Context::new, |it| Context::new().with_remote_span_context(it));
        let begun = self.clock.local();
        let span = self
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_start_time(begun)
            .start_with_context(&self.tracer, &context);
        let recorded = span.is_recording();
        let traceparent = (recorded || begins).then(|| traceparent(span.span_context()));
        let span = recorded.then(|| Span { span, begun, server: Arc::clone(&self.server) });
        (traceparent, span)
    }
}

/// Where clients connect; of a unix socket its path.
fn described(server: &str) -> Vec<KeyValue> {
    let place = server.trim_start_matches("http://");
    let (host, port) = match place.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
        Some((host, Ok(port))) => (host, Some(port)),
        _ => (place.trim_start_matches("unix:"), None),
    };
    let address = KeyValue::new("server.address", host.trim_matches(['[', ']']).to_owned());
    let port = port.map(|port| KeyValue::new("server.port", i64::from(port)));
    [address, KeyValue::new("url.scheme", "http")].into_iter().chain(port).collect()
}

impl Parent<'_> {
    fn context(&self) -> Option<SpanContext> {
        let trace_id = TraceId::from_hex(self.trace_id).ok()?;
        let span_id = SpanId::from_hex(self.span_id).ok()?;
        let flags = u8::from_str_radix(self.flags, 16).ok()? & KNOWN_FLAGS;
        // A state that cannot be read is none; it passes on all the same.
        let state = self.state.parse().unwrap_or(TraceState::NONE);
        Some(SpanContext::new(trace_id, span_id, TraceFlags::new(flags), true, state))
    }
}

fn traceparent(context: &SpanContext) -> String {
    let flags = context.trace_flags().to_u8();
    format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
}

impl Span {
    /// Says something of the request.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.span.set_attribute(KeyValue::new(key, value));
    }

    /// Says that the request failed, and not by its client's fault.
    pub fn fail(&mut self) {
        self.span.set_status(Status::error(""));
    }

    /// Ends the span so long after it has begun.
    pub fn end(mut self, took: Duration) {
        self.span.set_attributes(self.server.iter().cloned());
        self.span.end_with_timestamp(self.begun + took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_described_by_what_clients_connect_to() {
        let scheme = || KeyValue::new("url.scheme", "http");
        for (server, address, port) in [
            ("http://localhost:8181", "localhost", Some(8181)),
            ("http://[::1]:9", "::1", Some(9)),
            ("unix:/run/countersign.sock", "/run/countersign.sock", None),
        ] {
            let expected = [KeyValue::new("server.address", address), scheme()];
            let port = port.map(|port| KeyValue::new("server.port", port));
            assert_eq!(described(server), expected.into_iter().chain(port).collect::<Vec<_>>(), "{server}");
        }
    }
}
