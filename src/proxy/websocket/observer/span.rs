//! The span of a tunnel: the content of its log line. It is a child of the handshake's span, and lasts until the tunnel
//! ends.

use std::str;

use http::request::Parts;

use super::{Observer, Passed};
use crate::{
    proxy::{
        access_log::trace_id,
        websocket::close_code::{CloseMeaning, End},
    },
    telemetry::spans::{Parent, Span, Spans},
};

/// A longer path is cut, in bytes: spans wait in memory for their batch.
const MAX_PATH: usize = 1_024;

/// Where the span of a tunnel comes from.
#[derive(Debug)]
pub(super) struct Origin {
    spans: Option<Spans>,
    /// Trace id, id of the handshake's span, and flags.
    parent: Option<[String; 3]>,
}

impl Origin {
    pub(super) fn of(parts: &Parts) -> Self {
        let text = |digits| str::from_utf8(digits).expect("hexadecimal digits are text").to_owned();
        Self {
            spans: parts.extensions.get::<Spans>().cloned(),
            parent: trace_id::parts(&parts.headers).map(|parts| parts.map(text)),
        }
    }

    /// Begins the span; `None` when the handshake has none.
    pub(super) fn begin(&self) -> Option<Span> {
        let [trace_id, span_id, flags] = self.parent.as_ref()?;
        let parent = Parent { trace_id, span_id, flags, state: "" };
        self.spans.as_ref()?.begin("websocket", Some(&parent)).1
    }
}

impl Observer {
    pub(super) fn end_span(&self, mut span: Span, end: &End, meaning: &CloseMeaning) {
        let path = &self.facts.path;
        span.set("url.path", path[..path.floor_char_boundary(MAX_PATH)].to_owned());
        span.set("network.protocol.name", "websocket");
        span.set("countersign.request.id", self.facts.id.as_str().to_owned());
        span.set("countersign.websocket.closed_by", end.by.as_str());
        span.set("countersign.websocket.meaning", meaning.name);
        if let Some(code) = end.close.flatten() {
            span.set("countersign.websocket.close_code", i64::from(code));
        }
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let messages = |side: &Passed| number(side.frames.counts().messages());
        span.set("countersign.websocket.up.messages", messages(&self.up));
        span.set("countersign.websocket.up.bytes", number(self.up.bytes));
        span.set("countersign.websocket.down.messages", messages(&self.down));
        span.set("countersign.websocket.down.bytes", number(self.down.bytes));
        if !meaning.is_ordinary() {
            span.set("error.type", meaning.name);
        }
        span.end(self.start.elapsed());
    }
}
