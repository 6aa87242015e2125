//! One direction of a tunnel that the proxy closes: its Close frame must not stand inside another frame.

use super::{close_frame::close_frame, flow::Flow, frame_reader::Direction, observer::Observer};

/// The code of a Close frame that says that its sender goes away (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// The end of one direction.
pub(super) struct Closing {
    direction: Direction,
    /// The Close frame, until it is sent.
    frame: Option<Vec<u8>>,
    /// Whether what is read is discarded.
    is_stopped: bool,
}

impl Closing {
    /// Begins to close a direction. A receiver that has sent a Close itself gets the answer of the other side.
    pub(super) fn begin(direction: Direction, observer: &Observer, reason: &str) -> Self {
        let (receiver, mask) = match direction {
            Direction::Up => (Direction::Down, Some(rand::random())),
            Direction::Down => (Direction::Up, None),
        };
        let frame = (!observer.has_closed(receiver)).then(|| close_frame(GOING_AWAY, reason, mask));
        Self { direction, frame, is_stopped: false }
    }

    /// Sees what is read; how much of it goes on, which is up to the end of the current frame.
    pub(super) fn watch(&mut self, observer: &mut Observer, bytes: &[u8]) -> usize {
        let direction = self.direction;
        if self.frame.is_none() || self.is_stopped {
            observer.observe(direction, bytes);
            return if self.is_stopped { 0 } else { bytes.len() };
        }
        for at in 0..bytes.len() {
            if observer.is_at_boundary(direction) {
                self.is_stopped = true;
                observer.observe(direction, &bytes[at..]);
                return at;
            }
            observer.observe(direction, &bytes[at..=at]);
        }
        bytes.len()
    }

    /// Sends the Close frame if it may follow now; whether it did.
    pub(super) fn push(&mut self, observer: &Observer, flow: &mut Flow) -> bool {
        if !self.is_stopped && !observer.is_at_boundary(self.direction) {
            return false;
        }
        let Some(frame) = self.frame.take() else { return false };
        self.is_stopped = true;
        flow.push(&frame);
        true
    }
}
