//! Emptied header maps, whose memory the next requests use.

use http::HeaderMap;

/// How many maps are kept, so that this many requests at a time need no new one. Most take 1.3 KB.
const MAX_MAPS: usize = 32;

/// The largest map that is kept, in fields: browsers send up to twenty, signing adds six, and maps double when they grow.
const MAX_CAPACITY: usize = 48;

/// Each request empties one map of its own, and fills another when it is signed: a second attempt needs the headers of
/// the first, which hyper has consumed by then. A new map takes two allocations.
#[derive(Default)]
pub(super) struct SpareHeaders(Vec<HeaderMap>);

impl SpareHeaders {
    /// An empty map.
    pub(super) fn take(&mut self) -> HeaderMap {
        self.0.pop().unwrap_or_default()
    }

    /// Empties `headers` and keeps their map, unless there are enough.
    pub(super) fn put(&mut self, mut headers: HeaderMap) {
        if self.0.len() < MAX_MAPS && (1..=MAX_CAPACITY).contains(&headers.capacity()) {
            headers.clear();
            self.0.push(headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, header};

    use super::*;

    fn headers(count: usize) -> HeaderMap {
        let name = |number| HeaderName::from_bytes(format!("x-{number}").as_bytes()).expect("a name");
        (0..count).map(|number| (name(number), HeaderValue::from_static("1"))).collect()
    }

    #[test]
    fn a_map_comes_back_empty_with_its_memory() {
        let mut spare = SpareHeaders::default();
        let mut left = headers(6);
        left.append(header::COOKIE, HeaderValue::from_static("a=1"));
        left.append(header::COOKIE, HeaderValue::from_static("b=2"));
        let capacity = left.capacity();
        spare.put(left);
        let taken = spare.take();
        assert_eq!((taken.len(), taken.keys_len(), taken.capacity()), (0, 0, capacity));
        assert_eq!(spare.take().capacity(), 0);
    }

    #[test]
    fn few_maps_of_usual_requests_are_kept() {
        let mut spare = SpareHeaders::default();
        spare.put(HeaderMap::new());
        spare.put(headers(MAX_CAPACITY + 1));
        assert_eq!(spare.0.len(), 0);
        for _ in 0..=MAX_MAPS {
            spare.put(headers(MAX_CAPACITY));
        }
        assert_eq!(spare.0.len(), MAX_MAPS);
    }
}
