//! Frames are read the same however their bytes are split, and never as more than has passed.
#![no_main]

use countersign::proxy::fuzzing::read_frames;
use libfuzzer_sys::fuzz_target;

// The first byte is the length of the pieces in which the rest arrives, and its lowest bit whether messages may be
// compressed.
fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else { return };
    let with_deflate = first & 1 == 1;
    let whole = read_frames(&[bytes], with_deflate);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(first.max(1))).collect();
    assert_eq!(read_frames(&pieces, with_deflate), whole);
    let (events, frames, payload, is_at_boundary) = whole;
    let read = 2 * frames + payload;
    assert!(read <= bytes.len() as u64, "each frame has a head of two bytes or more");
    let has_ended = events.last().is_some_and(|last| last.contains("Unreadable") || last.contains("Close"));
    assert!(!(has_ended && is_at_boundary));
});
