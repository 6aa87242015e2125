//! The span of a request: the content of its log line under the names of OpenTelemetry's semantic conventions.

use std::str;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};

use super::AccessEntry;
use super::trace_id::{self, TRACEPARENT};
use crate::telemetry::spans::{Parent, Span, Spans};

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A longer path is cut, in bytes: spans wait in memory for their batch.
const MAX_PATH: usize = 1_024;

/// A longer `tracestate` is left out, in bytes: cut, it could mean something else.
const MAX_STATE: usize = 1_024;

/// Begins the span of `request`, whose headers then say what the upstream's spans belong to.
///
/// `None` when the request is not sampled: its `traceparent` passes on as it came, or says so if there was none.
pub(super) fn begin<B>(spans: &Spans, request: &mut Request<B>) -> Option<Span> {
    let state = state(request.headers());
    let text = |digits| str::from_utf8(digits).expect("hexadecimal digits are text");
    let parent = trace_id::parts(request.headers()).map(|[trace_id, span_id, flags]| Parent {
        trace_id: text(trace_id),
        span_id: text(span_id),
        flags: text(flags),
        state: &state,
    });
    let (traceparent, span) = spans.begin(name(request.method()), parent.as_ref());
    if parent.is_none() {
        // A state without a readable `traceparent` is another trace's.
        request.headers_mut().remove(TRACESTATE);
    }
    if let Some(traceparent) = traceparent {
        let value = HeaderValue::try_from(traceparent).expect("digits and dashes");
        request.headers_mut().insert(TRACEPARENT, value);
    }
    span
}

fn state(headers: &HeaderMap) -> String {
    let values = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok());
    let state = values.collect::<Vec<_>>().join(",");
    if state.len() > MAX_STATE { String::new() } else { state }
}

/// The name of a span. Clients can make up methods, so an unknown one becomes `HTTP`: names have to be few.
fn name(method: &Method) -> &'static str {
    known(method).unwrap_or("HTTP")
}

fn known(method: &Method) -> Option<&'static str> {
    Some(match method.as_str() {
        "CONNECT" => "CONNECT",
        "DELETE" => "DELETE",
        "GET" => "GET",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        "POST" => "POST",
        "PUT" => "PUT",
        "TRACE" => "TRACE",
        _ => return None,
    })
}

impl AccessEntry {
    pub(super) fn end(&mut self, mut span: Span) {
        span.set("http.request.method", self.method.as_ref().and_then(known).unwrap_or("_OTHER"));
        let path = self.path.as_str();
        span.set("url.path", path[..path.floor_char_boundary(MAX_PATH)].to_owned());
        span.set("countersign.request.id", self.id.as_str().to_owned());
        match self.status {
            Some(status) => self.describe_answer(&mut span, status),
            // The client left before the head of its answer.
            None => span.set("error.type", "aborted"),
        }
        if let Some(reason) = self.aborted() {
            span.set("countersign.aborted", reason.as_str());
        }
        span.end(self.start.elapsed());
    }

    fn describe_answer(&self, span: &mut Span, status: StatusCode) {
        span.set("http.response.status_code", i64::from(status.as_u16()));
        span.set("http.response.body.size", i64::try_from(self.bytes).unwrap_or(i64::MAX));
        span.set("countersign.origin", self.origin());
        span.set("countersign.attempts", i64::from(self.outcome.attempts));
        if let Some(status) = self.outcome.upstream_status {
            span.set("countersign.upstream.status_code", i64::from(status.as_u16()));
        }
        if let Some(id) = self.outcome.request_id() {
            span.set("aws.request_id", id.to_owned());
        }
        let failed = status.is_server_error();
        if failed {
            span.fail();
        }
        match self.code {
            Some(code) => span.set("error.type", code),
            None if failed => span.set("error.type", status.as_str().to_owned()),
            None if self.aborted().is_some() => span.set("error.type", "aborted"),
            None => {}
        }
    }
}
