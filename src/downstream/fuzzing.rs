//! A door to the gate for fuzz targets.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};

use super::http1::{
    filter::{HeadFilter, REPLACEMENT, REPLACEMENT_OF_HEAD, Timeouts},
    head::HeadError,
    phase::ConnectionPhase,
};

/// What the HTTP library gets to read when a client sends `pieces` and closes, without the head that stands
/// for a refused one, and why that was refused.
#[must_use]
pub fn read_through_gate(pieces: &[&[u8]]) -> (Vec<u8>, Option<HeadError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let (mut client, server) = tokio::io::duplex(length.max(1));
        let phase = ConnectionPhase::default();
        let timeouts = Duration::from_secs(30);
        let timeouts = Timeouts { head: timeouts, write: timeouts, discard: 0 };
        let mut filter = HeadFilter::new(server, phase.clone(), timeouts);
        let mut read = Vec::new();
        for piece in pieces {
            client.write_all(piece).await.expect("room");
            // What the gate makes of a piece must not depend on what comes behind it.
            read_what_is_there(&mut filter, &mut read).await;
        }
        drop(client);
        read_what_is_there(&mut filter, &mut read).await;
        let error = phase.take_refused().map(|head| head.error);
        if error.is_some() {
            let head = read.ends_with(REPLACEMENT_OF_HEAD);
            read.truncate(read.len() - if head { REPLACEMENT_OF_HEAD } else { REPLACEMENT }.len());
        }
        (read, error)
    })
}

async fn read_what_is_there(filter: &mut HeadFilter<DuplexStream>, read: &mut Vec<u8>) {
    let mut step = [0; 4096];
    loop {
        let mut buffer = ReadBuf::new(&mut step);
        let polled =
            poll_fn(|context| Poll::Ready(Pin::new(&mut *filter).poll_read(context, &mut buffer))).await;
        if !matches!(polled, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
            return;
        }
        read.extend_from_slice(buffer.filled());
    }
}
