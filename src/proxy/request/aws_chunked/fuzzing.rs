//! A door to the parser of signed chunks for fuzz targets.

use bytes::Bytes;

use super::decoder::Decoder;

/// The data in a body that arrives in these pieces, and its trailers; `None` when it is malformed.
#[must_use]
pub fn decode_signed_chunks(
    pieces: &[&[u8]],
    with_trailers: bool,
) -> Option<(Vec<u8>, Vec<(String, Vec<u8>)>)> {
    let mut decoder = Decoder::new(with_trailers);
    let mut data = Vec::new();
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(bytes) = decoder.decode(&mut piece).ok()? {
            data.extend(bytes);
        }
    }
    let trailers = decoder.finish().ok()?;
    let trailers =
        trailers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    Some((data, trailers))
}
