//! Reads a whole TLS record at a time, in front of rustls, which asks for 4 KiB until it holds a part of a record.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read for a reader that asks for less, in bytes: the longest record, which is 16 KiB and its frame, and a
/// shorter one with the head of the response before it. Five reads become one for an answer of 16 KiB.
const READ_SIZE: usize = 20 << 10;

/// A reader that asks for as much reads the connection itself, in bytes. With a part of a record rustls asks for the
/// rest of it, so that a long body is not copied once more.
const MIN_DIRECT_READ: usize = 8 << 10;

/// A connection that is read in records.
#[derive(Debug)]
pub(super) struct RecordReader<S> {
    io: S,
    /// Read, and not passed on yet.
    unread: Bytes,
}

impl<S> RecordReader<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io, unread: Bytes::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RecordReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if !self.unread.is_empty() {
            let length = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread[..length]);
            self.unread.advance(length);
            if self.unread.is_empty() {
                // An idle connection holds no memory for what it has read.
                self.unread = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() >= MIN_DIRECT_READ {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        // On the stack, so that a short answer allocates nothing.
        let mut bytes = [MaybeUninit::uninit(); READ_SIZE];
        let mut record = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut record))?;
        let (passed, rest) = record.filled().split_at(record.filled().len().min(buffer.remaining()));
        buffer.put_slice(passed);
        if !rest.is_empty() {
            self.unread = Bytes::copy_from_slice(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RecordReader<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, task::Waker};

    use super::*;

    /// What each read of a connection gives, at most as much as it asks for. Nothing is left to read afterwards.
    #[derive(Default)]
    struct Reads {
        answers: VecDeque<Poll<io::Result<Vec<u8>>>>,
        asked: Vec<usize>,
    }

    impl AsyncRead for Reads {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.asked.push(buffer.remaining());
            let bytes = ready!(self.answers.pop_front().unwrap_or(Poll::Ready(Ok(Vec::new()))))?;
            let length = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..length]);
            if length < bytes.len() {
                self.answers.push_front(Poll::Ready(Ok(bytes[length..].to_vec())));
            }
            Poll::Ready(Ok(()))
        }
    }

    fn reader(answers: impl IntoIterator<Item = Poll<io::Result<Vec<u8>>>>) -> RecordReader<Reads> {
        RecordReader::new(Reads { answers: answers.into_iter().collect(), asked: Vec::new() })
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|number| (number % 251) as u8).collect()
    }

    /// What one read of so many bytes gives.
    fn read(reader: &mut RecordReader<Reads>, length: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut space = vec![0; length];
        let mut buffer = ReadBuf::new(&mut space);
        let polled = Pin::new(reader).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        polled.map_ok(|()| buffer.filled().to_vec())
    }

    #[test]
    fn a_record_is_read_at_once_for_a_reader_of_small_parts() {
        let sent = bytes(16_705);
        let mut reader = reader([Poll::Ready(Ok(sent.clone()))]);
        let mut received = Vec::new();
        for _ in 0..5 {
            let Poll::Ready(Ok(part)) = read(&mut reader, 4_096) else { panic!("nothing to read") };
            received.extend(part);
        }
        assert_eq!(received, sent);
        assert_eq!(reader.io.asked, [READ_SIZE]);
    }

    #[test]
    fn a_reader_of_large_parts_reads_the_connection_itself() {
        let mut reader = reader([Poll::Ready(Ok(bytes(100_000)))]);
        for asked in [MIN_DIRECT_READ, 18_000] {
            assert!(matches!(read(&mut reader, asked), Poll::Ready(Ok(part)) if part.len() == asked));
        }
        assert_eq!(reader.io.asked, [MIN_DIRECT_READ, 18_000]);
    }

    #[test]
    fn bytes_keep_their_order_whatever_is_asked_for() {
        let sent = bytes(200_000);
        let mut reader = reader([Poll::Ready(Ok(sent.clone()))]);
        let mut received = Vec::new();
        for asked in [1, 4_096, 18_437, 2, MIN_DIRECT_READ - 1, 30_000].into_iter().cycle() {
            let Poll::Ready(Ok(part)) = read(&mut reader, asked) else { panic!("nothing to read") };
            if part.is_empty() {
                break;
            }
            received.extend(part);
        }
        assert!(received == sent, "{} bytes of {} arrived, or not in order", received.len(), sent.len());
    }

    #[test]
    fn a_reader_without_room_waits_for_nothing() {
        let mut reader = reader([Poll::Pending]);
        assert!(matches!(read(&mut reader, 0), Poll::Ready(Ok(part)) if part.is_empty()));
        assert!(reader.io.asked.is_empty());
    }

    #[test]
    fn what_ends_a_connection_comes_after_the_bytes_before_it() {
        let reset = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let mut reader = reader([Poll::Ready(Ok(bytes(10))), Poll::Pending, reset()]);
        assert!(matches!(read(&mut reader, 6), Poll::Ready(Ok(part)) if part == bytes(10)[..6]));
        assert!(matches!(read(&mut reader, 6), Poll::Ready(Ok(part)) if part == bytes(10)[6..]));
        assert!(read(&mut reader, 6).is_pending());
        assert!(
            matches!(read(&mut reader, 6), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset)
        );
        assert!(matches!(read(&mut reader, 6), Poll::Ready(Ok(part)) if part.is_empty()));
    }
}
