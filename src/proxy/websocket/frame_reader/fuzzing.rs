//! A door to the frame reader for fuzz targets.

use super::{Direction, Extensions, FrameReader};

/// What is read of bytes that a client sends in these pieces: each event, the whole frames, the bytes of payload, and
/// whether a frame may follow.
#[must_use]
pub fn read_frames(pieces: &[&[u8]], with_deflate: bool) -> (Vec<String>, u64, u64, bool) {
    let extensions = if with_deflate { Extensions::PermessageDeflate } else { Extensions::None };
    let mut reader = FrameReader::new(Direction::Up, extensions, 64);
    let mut events = Vec::new();
    for piece in pieces {
        reader.read(piece, &mut |event| events.push(format!("{event:?}")));
    }
    let counts = reader.counts();
    (events, counts.frames, counts.text_bytes + counts.binary_bytes, reader.is_at_boundary())
}
