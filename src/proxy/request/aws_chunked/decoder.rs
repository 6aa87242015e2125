//! The parser of signed `aws-chunked` bodies. It works on whatever pieces the body arrives in, and copies no data.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::AwsChunkedError;

/// The longest line that opens a chunk, in bytes: 16 digits, the extension's name, and 144 digits of an ECDSA signature.
const MAX_CHUNK_LINE: usize = 192;

/// The longest trailer, in bytes. A checksum has less than a hundred digits.
const MAX_TRAILER: usize = 512;

/// How many trailers a body has at most.
const MAX_TRAILERS: usize = 16;

/// The digits of a signature: 64 of HMAC-SHA256, up to 144 of ECDSA, which asterisks fill up.
const MAX_SIGNATURE: usize = 144;

/// Ends the trailers, and depends on the client's key as the signatures of chunks do.
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

const CHUNK_LINE: &str =
    "a chunk's size in hexadecimal digits, \";chunk-signature=\", the signature and CRLF";
const TRAILER_LINE: &str = "a trailer (name:value), x-amz-trailer-signature, or the empty line behind it";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the line that opens a chunk.
    ChunkLine,
    /// In the data of a chunk, of which so many bytes are left.
    Data(u64),
    /// At the CRLF behind the data of a chunk, of which so many bytes have been read.
    DataEnd(usize),
    /// At the CRLF behind a last chunk without trailers.
    LastEnd(usize),
    /// In the trailers.
    Trailers,
    /// At the signature of the trailers, which an empty line has ended.
    TrailerSignature,
    /// At the empty line behind the signature of the trailers.
    LastLine,
    Ended,
}

/// Decodes one body.
#[derive(Debug)]
pub(in crate::proxy) struct Decoder {
    state: State,
    with_trailers: bool,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// Where in the body the line begins, or the next byte where there is no line.
    at: u64,
    trailers: HeaderMap,
}

impl Decoder {
    pub(in crate::proxy) fn new(with_trailers: bool) -> Self {
        Self { state: State::ChunkLine, with_trailers, line: Vec::new(), at: 0, trailers: HeaderMap::new() }
    }

    /// Takes the next data out of `input`; `None` when all of `input` has been read.
    pub(in crate::proxy) fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, AwsChunkedError> {
        while !input.is_empty() {
            match self.state {
                State::ChunkLine => {
                    let Some(line) = self.line(input, MAX_CHUNK_LINE, CHUNK_LINE)? else { break };
                    let size = chunk_size(&line).ok_or_else(|| self.malformed(CHUNK_LINE))?;
                    self.at += line.len() as u64;
                    self.state = match size {
                        0 if self.with_trailers => State::Trailers,
                        0 => State::LastEnd(0),
                        size => State::Data(size),
                    };
                }
                State::Data(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::DataEnd(0) } else { State::Data(left) };
                    self.at += taken as u64;
                    return Ok(Some(input.split_to(taken)));
                }
                State::DataEnd(read) => self.line_end(input, read, State::DataEnd, State::ChunkLine)?,
                State::LastEnd(read) => self.line_end(input, read, State::LastEnd, State::Ended)?,
                State::Trailers | State::TrailerSignature | State::LastLine => {
                    let Some(line) = self.line(input, MAX_TRAILER, TRAILER_LINE)? else { break };
                    self.state = self.trailer(&line)?;
                    self.at += line.len() as u64;
                }
                State::Ended => return Err(self.malformed("nothing behind the last chunk")),
            }
        }
        Ok(None)
    }

    /// The trailers, when the input has ended.
    pub(in crate::proxy) fn finish(&mut self) -> Result<HeaderMap, AwsChunkedError> {
        match self.state {
            State::Ended => Ok(std::mem::take(&mut self.trailers)),
            State::ChunkLine => Err(self.malformed("another chunk, since the last one has a size of 0")),
            State::Data(_) => Err(self.malformed("the rest of a chunk")),
            State::DataEnd(_) | State::LastEnd(_) => Err(self.malformed("CRLF behind a chunk")),
            State::Trailers | State::TrailerSignature | State::LastLine => Err(self.malformed(TRAILER_LINE)),
        }
    }

    /// The next line with its line end; `None` when that has not arrived.
    fn line(
        &mut self,
        input: &mut Bytes,
        max_length: usize,
        expected: &'static str,
    ) -> Result<Option<Vec<u8>>, AwsChunkedError> {
        let end = memchr(b'\n', input).map(|at| at + 1);
        let taken = end.unwrap_or(input.len());
        if self.line.len() + taken > max_length {
            return Err(self.malformed(expected));
        }
        self.line.extend_from_slice(&input[..taken]);
        input.advance(taken);
        Ok(end.map(|_| std::mem::take(&mut self.line)))
    }

    /// Reads a byte of CRLF.
    fn line_end(
        &mut self,
        input: &mut Bytes,
        read: usize,
        within: fn(usize) -> State,
        behind: State,
    ) -> Result<(), AwsChunkedError> {
        if input[0] != b"\r\n"[read] {
            return Err(self.malformed("CRLF behind a chunk"));
        }
        input.advance(1);
        self.at += 1;
        self.state = if read == 0 { within(1) } else { behind };
        Ok(())
    }

    /// Reads a line of the trailers. AWS's own documents end a trailer by LF and put CRLF before the signature, as
    /// minio-go does; the SDKs end each line by CRLF.
    fn trailer(&mut self, line: &[u8]) -> Result<State, AwsChunkedError> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            return match self.state {
                State::LastLine => Ok(State::Ended),
                State::Trailers if !self.trailers.is_empty() => Ok(State::TrailerSignature),
                _ => Err(self.malformed(TRAILER_LINE)),
            };
        }
        let (name, value) = field(text).ok_or_else(|| self.malformed(TRAILER_LINE))?;
        let is_signed = name == TRAILER_SIGNATURE && is_signature(value.as_bytes());
        match self.state {
            State::Trailers | State::TrailerSignature if is_signed => Ok(State::LastLine),
            State::Trailers if name != TRAILER_SIGNATURE => {
                if self.trailers.len() == MAX_TRAILERS || self.trailers.insert(name, value).is_some() {
                    return Err(self.malformed("each trailer once, and 16 at most"));
                }
                Ok(State::Trailers)
            }
            _ => Err(self.malformed(TRAILER_LINE)),
        }
    }

    fn malformed(&self, expected: &'static str) -> AwsChunkedError {
        AwsChunkedError::Malformed { at: self.at, expected }
    }
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = memchr(b':', line)?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    (!value.is_empty()).then_some((name, value))
}

/// The size in the line that opens a chunk.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    let (size, extension) = line.split_at(memchr(b';', line)?);
    let signature = extension.strip_prefix(b";chunk-signature=")?;
    let is_size = (1..=16).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
    let size = std::str::from_utf8(size).ok().filter(|_| is_size && is_signature(signature))?;
    u64::from_str_radix(size, 16).ok()
}

/// Hexadecimal digits, which asterisks may fill up.
fn is_signature(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    digits > 0 && text.len() <= MAX_SIGNATURE && text[digits..].iter().all(|&byte| byte == b'*')
}
