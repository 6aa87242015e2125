//! What is seen of a tunnel while its bytes pass. Nothing here changes them.

use super::frame_reader::{Direction, Extensions, FrameReader};

/// Reads along in both directions.
#[derive(Debug)]
pub(super) struct Observer {
    up: FrameReader,
    down: FrameReader,
    passed: u64,
}

impl Observer {
    /// An observer of frames with these `extensions`.
    pub(super) fn new(extensions: Extensions) -> Self {
        let reader = |direction| FrameReader::new(direction, extensions, 0);
        Self { up: reader(Direction::Up), down: reader(Direction::Down), passed: 0 }
    }

    /// Sees the next bytes of a direction.
    pub(super) fn observe(&mut self, direction: Direction, bytes: &[u8]) {
        self.passed += bytes.len() as u64;
        self.reader_mut(direction).read(bytes, &mut |_| {});
    }

    /// How many bytes have passed, both ways.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether a frame of the proxy's own may follow in this direction now.
    pub(super) fn is_at_boundary(&self, direction: Direction) -> bool {
        self.reader(direction).is_at_boundary()
    }

    /// Whether a Close frame has passed in this direction.
    pub(super) fn has_closed(&self, direction: Direction) -> bool {
        self.reader(direction).close().is_some()
    }

    fn reader(&self, direction: Direction) -> &FrameReader {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn reader_mut(&mut self, direction: Direction) -> &mut FrameReader {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}
