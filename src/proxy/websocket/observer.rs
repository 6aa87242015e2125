//! What is seen of a tunnel while its bytes pass: its line in the log, its metrics, its span, and its messages in the
//! inspector. Nothing here changes the bytes.

mod report;
#[cfg(feature = "otlp")]
mod span;

use http::request::Parts;
use tokio::time::Instant;
use tracing::info;

use report::EventReporter;

use super::{
    close_code::{CloseMeaning, ClosedBy, End},
    frame_reader::{Direction, Event, Extensions, FrameReader},
};
use crate::{
    inspector::{Recording, TunnelEnd},
    proxy::{access_log::trace_id::TraceId, request_id::RequestId},
    telemetry::{
        TUNNEL,
        metrics::{Metrics, TunnelGuard},
    },
};

/// The handshake that a tunnel belongs to, as the client sent it.
#[derive(Debug)]
pub(in crate::proxy) struct HandshakeFacts {
    id: RequestId,
    trace_id: Option<TraceId>,
    path: String,
    recording: Option<Recording>,
    #[cfg(feature = "otlp")]
    span: span::Origin,
}

impl HandshakeFacts {
    pub(in crate::proxy) fn of(parts: &Parts, id: &RequestId, recording: Option<&Recording>) -> Self {
        Self {
            id: id.clone(),
            trace_id: TraceId::of(&parts.headers),
            path: parts.uri.path().to_owned(),
            recording: recording.cloned(),
            #[cfg(feature = "otlp")]
            span: span::Origin::of(parts),
        }
    }
}

/// Reads along in both directions. The line is written when this is dropped, so that no tunnel ends unlogged.
#[derive(Debug)]
pub(in crate::proxy) struct Observer {
    facts: HandshakeFacts,
    /// Whether the upstream is API Gateway, whose limits are known.
    is_gateway: bool,
    up: Passed,
    down: Passed,
    start: Instant,
    /// When bytes last passed in either direction, a Close frame excepted.
    last_passed: Instant,
    /// Who closed the WebSocket first, and when.
    closed: Option<(ClosedBy, Instant)>,
    /// Whose connection ended first, and when. A WebSocket may still be closed after that, since the other direction
    /// goes on.
    disconnected: Option<(ClosedBy, Instant)>,
    metrics: TunnelGuard,
    #[cfg(feature = "otlp")]
    span: Option<crate::telemetry::spans::Span>,
}

/// What has passed in one direction.
#[derive(Debug)]
struct Passed {
    frames: FrameReader,
    bytes: u64,
    fault: Option<&'static str>,
}

impl Observer {
    /// Begins with the answer to the handshake.
    pub(in crate::proxy) fn begin(
        facts: HandshakeFacts,
        extensions: Extensions,
        is_gateway: bool,
        metrics: &Metrics,
    ) -> Self {
        let max_text = facts.recording.as_ref().map_or(0, Recording::max_message_text);
        let passed = |direction| Passed {
            frames: FrameReader::new(direction, extensions, max_text),
            bytes: 0,
            fault: None,
        };
        if let Some(recording) = &facts.recording {
            recording.open_tunnel();
        }
        let now = Instant::now();
        Self {
            is_gateway,
            up: passed(Direction::Up),
            down: passed(Direction::Down),
            start: now,
            last_passed: now,
            closed: None,
            disconnected: None,
            metrics: metrics.tunnel(),
            #[cfg(feature = "otlp")]
            span: facts.span.begin(),
            facts,
        }
    }

    /// Reads the next bytes of a direction.
    pub(in crate::proxy) fn observe(&mut self, direction: Direction, bytes: &[u8]) {
        let (side, counter) = match direction {
            Direction::Up => (&mut self.up, &self.metrics.up),
            Direction::Down => (&mut self.down, &self.metrics.down),
        };
        counter.inc_by(bytes.len() as u64);
        side.bytes += bytes.len() as u64;
        let (passed, is_gateway) = (side.bytes, self.is_gateway);
        let reporter = EventReporter { facts: &self.facts, direction, passed, is_gateway };
        side.frames.read(bytes, &mut |event| {
            if let Event::Unreadable(fault) = event {
                side.fault = Some(fault.as_str());
            }
            reporter.report(&event);
        });
        if self.has_closed(direction) {
            self.closed_by(direction.into());
        } else if self.closed.is_none() {
            self.last_passed = Instant::now();
        }
    }

    /// How many bytes have passed, both ways.
    pub(in crate::proxy) fn passed(&self) -> u64 {
        self.up.bytes + self.down.bytes
    }

    /// Whether a Close frame has passed in this direction.
    pub(in crate::proxy) fn has_closed(&self, direction: Direction) -> bool {
        self.side(direction).frames.close().is_some()
    }

    /// Whether a frame of the proxy's own may follow in this direction now.
    pub(in crate::proxy) fn is_at_boundary(&self, direction: Direction) -> bool {
        self.side(direction).frames.is_at_boundary()
    }

    /// Says who closes the WebSocket. The first to do so counts.
    pub(in crate::proxy) fn closed_by(&mut self, by: ClosedBy) {
        self.closed.get_or_insert_with(|| (by, Instant::now()));
    }

    /// Says whose connection has ended. The first counts, unless the WebSocket is closed as well.
    pub(in crate::proxy) fn disconnected_by(&mut self, by: ClosedBy) {
        self.disconnected.get_or_insert_with(|| (by, Instant::now()));
    }

    fn side(&self, direction: Direction) -> &Passed {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn end(&self) -> End {
        // A tunnel is dropped before it has begun when its client leaves at the moment of the answer.
        let ended = self.closed.or(self.disconnected);
        let (by, at) = ended.unwrap_or_else(|| (ClosedBy::Client, Instant::now()));
        let close = match by {
            ClosedBy::Client => self.up.frames.close().map(|close| close.code),
            ClosedBy::Upstream => self.down.frames.close().map(|close| close.code),
            ClosedBy::Idle | ClosedBy::Shutdown => Some(Some(1001)),
        };
        End {
            by,
            close,
            lasted: at.duration_since(self.start),
            silence: at.duration_since(self.last_passed),
            is_gateway: self.is_gateway,
        }
    }
}

impl Observer {
    fn write_line(&self, end: &End, meaning: &CloseMeaning) {
        let is_ordinary = meaning.is_ordinary();
        let (up, down) = (self.up.frames.counts(), self.down.frames.counts());
        info!(
            target: TUNNEL,
            {
            request.id = self.facts.id.as_str(),
            request.path = self.facts.path,
            closed_by = end.by.as_str(),
            code = end.close.flatten(),
            meaning = meaning.name,
            cause = (!is_ordinary).then_some(meaning.cause),
            cure = Some(meaning.cure).filter(|cure| !is_ordinary && !cure.is_empty()),
            up.messages = up.messages(),
            up.frames = up.frames,
            up.bytes = self.up.bytes,
            up.largest_message = up.largest_message,
            up.fault = self.up.fault,
            down.messages = down.messages(),
            down.frames = down.frames,
            down.bytes = self.down.bytes,
            down.largest_message = down.largest_message,
            down.fault = self.down.fault,
            total_ms = self.start.elapsed().as_millis() as u64,
            trace_id = self.facts.trace_id.as_ref().map(TraceId::as_str),
            },
            "websocket closed"
        );
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let end = self.end();
        let meaning = CloseMeaning::of(&end);
        self.write_line(&end, &meaning);
        if let Some(recording) = &self.facts.recording {
            recording.close_tunnel(TunnelEnd {
                closed_by: end.by.as_str(),
                code: end.close.flatten(),
                meaning: meaning.name,
                bytes: [self.up.bytes, self.down.bytes],
                explained: (!meaning.is_ordinary()).then(|| meaning.to_json()),
            });
        }
        #[cfg(feature = "otlp")]
        if let Some(span) = self.span.take() {
            self.end_span(span, &end, &meaning);
        }
    }
}
