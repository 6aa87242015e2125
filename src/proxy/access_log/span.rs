//! The span of a request: what its line in the log says, in the words of OpenTelemetry's semantic conventions.

use std::str;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};

use super::AccessEntry;
use super::trace_id::{self, TRACEPARENT};
use crate::telemetry::spans::{Parent, Span, Spans};

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A longer path is cut off, in bytes: spans wait for their batch in memory.
const LONGEST_PATH: usize = 1_024;

/// A longer state is left out, in bytes: what is cut off may mean something else.
const LONGEST_STATE: usize = 1_024;

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
        // It belongs to a trace that could not be read.
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
    if state.len() > LONGEST_STATE { String::new() } else { state }
}

/// Methods are a client's to invent, names of spans are not.
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
        self.path.truncate(self.path.floor_char_boundary(LONGEST_PATH));
        span.set("url.path", std::mem::take(&mut self.path));
        span.set("countersign.request.id", self.id.as_str().to_owned());
        match self.status {
            Some(status) => self.describe_answer(&mut span, status),
            // A client that went away before the head of its answer has seen none.
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
