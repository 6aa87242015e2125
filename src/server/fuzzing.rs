//! A door to the gate for fuzz targets.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};

use super::{
    gate::{Gate, Patience, REPLACEMENT, REPLACEMENT_OF_HEAD},
    head::Violation,
    turn::Turn,
};

/// What the HTTP library gets to read when a client sends `pieces` and closes, without the head that stands
/// for a refused one, and why that was refused.
#[must_use]
pub fn read_through_gate(pieces: &[&[u8]]) -> (Vec<u8>, Option<Violation>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let (mut client, server) = tokio::io::duplex(length.max(1));
        let turn = Turn::default();
        let patience = Duration::from_secs(30);
        let patience = Patience { head: patience, write: patience, discard: 0 };
        let mut gate = Gate::new(server, turn.clone(), patience);
        let mut read = Vec::new();
        for piece in pieces {
            client.write_all(piece).await.expect("room");
            // What the gate makes of a piece must not depend on what comes behind it.
            read_what_is_there(&mut gate, &mut read).await;
        }
        drop(client);
        read_what_is_there(&mut gate, &mut read).await;
        let violation = turn.take_refused().map(|head| head.violation);
        if violation.is_some() {
            let head = read.ends_with(REPLACEMENT_OF_HEAD);
            read.truncate(read.len() - if head { REPLACEMENT_OF_HEAD } else { REPLACEMENT }.len());
        }
        (read, violation)
    })
}

async fn read_what_is_there(gate: &mut Gate<DuplexStream>, read: &mut Vec<u8>) {
    let mut step = [0; 4096];
    loop {
        let mut buffer = ReadBuf::new(&mut step);
        let polled =
            poll_fn(|context| Poll::Ready(Pin::new(&mut *gate).poll_read(context, &mut buffer))).await;
        if !matches!(polled, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
            return;
        }
        read.extend_from_slice(buffer.filled());
    }
}
