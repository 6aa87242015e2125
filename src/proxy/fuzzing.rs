//! Doors to the parsers of the data path for fuzz targets.

pub use super::{
    admission::fuzzing::{authority, is_origin},
    request::aws_chunked::fuzzing::decode_signed_chunks,
    websocket::frame_reader::fuzzing::read_frames,
};
