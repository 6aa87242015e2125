//! Access to the head filter for fuzz targets.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};

use super::http1::{
    filter::{HeadFilter, REPLACEMENT, REPLACEMENT_OF_HEAD, Timeouts},
    head::HeadError,
    phase::ConnectionPhase,
};

/// What hyper reads when a client sends `pieces` and closes, and why a head was refused. The replacement of the refused
/// head is left out.
#[must_use]
pub fn read_through_filter(pieces: &[&[u8]]) -> (Vec<u8>, Option<HeadError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let (mut client, server) = tokio::io::duplex(length.max(1));
        let phase = ConnectionPhase::default();
        let limit = Duration::from_secs(30);
        let timeouts = Timeouts { head: limit, write: limit, discard: 0 };
        let mut filter = HeadFilter::new(server, phase.clone(), timeouts);
        let mut read = Vec::new();
        for piece in pieces {
            client.write_all(piece).await.expect("room");
            // Reading after each piece shows the filter every piece alone: its verdict must not depend on what follows.
            read_available(&mut filter, &mut read).await;
        }
        drop(client);
        read_available(&mut filter, &mut read).await;
        let error = phase.take_refused().map(|head| head.error);
        if error.is_some() {
            let is_head = read.ends_with(REPLACEMENT_OF_HEAD);
            read.truncate(read.len() - if is_head { REPLACEMENT_OF_HEAD } else { REPLACEMENT }.len());
        }
        (read, error)
    })
}

async fn read_available(filter: &mut HeadFilter<DuplexStream>, read: &mut Vec<u8>) {
    let mut bytes = [0; 4096];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        let polled =
            poll_fn(|context| Poll::Ready(Pin::new(&mut *filter).poll_read(context, &mut buffer))).await;
        if !matches!(polled, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
            return;
        }
        read.extend_from_slice(buffer.filled());
    }
}
