//! Writes a decoded body as `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: chunks without signatures, and trailers.
//!
//! A body that streams has gone up before its checksums arrive, so that they stay trailers.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;

/// The data of each chunk but the last, in bytes. S3 refuses chunks of less than 8 KiB.
const CHUNK_SIZE: usize = 64 * 1024;

/// Room for a size and its line end.
const MAX_SIZE_LINE: usize = 18;

/// Frames one body.
#[derive(Debug, Default)]
pub(in crate::proxy::request) struct Framer {
    data: BytesMut,
}

impl Framer {
    /// Adds data; returns the chunks that are full.
    pub(in crate::proxy::request) fn push(&mut self, data: &[u8]) -> Option<Bytes> {
        self.data.extend_from_slice(data);
        if self.data.len() < CHUNK_SIZE {
            return None;
        }
        let full = self.data.split();
        let mut framed = BytesMut::with_capacity(full.len() + MAX_SIZE_LINE + 2);
        put_chunk(&mut framed, &full);
        Some(framed.freeze())
    }

    /// The last data, the last chunk and `trailers`.
    pub(in crate::proxy::request) fn finish(&mut self, trailers: &HeaderMap) -> Bytes {
        let rest = self.data.split();
        let mut framed = BytesMut::with_capacity(rest.len() + 256);
        if !rest.is_empty() {
            put_chunk(&mut framed, &rest);
        }
        framed.put_slice(b"0\r\n");
        for (name, value) in trailers {
            framed.put_slice(name.as_str().as_bytes());
            framed.put_u8(b':');
            framed.put_slice(value.as_bytes());
            framed.put_slice(b"\r\n");
        }
        framed.put_slice(b"\r\n");
        framed.freeze()
    }
}

fn put_chunk(framed: &mut BytesMut, data: &[u8]) {
    framed.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
    framed.put_slice(data);
    framed.put_slice(b"\r\n");
}
