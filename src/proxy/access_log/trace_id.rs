//! The trace that a request belongs to: W3C Trace Context, whose headers pass on as any others.

use http::{HeaderMap, HeaderName};

pub(in crate::proxy) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Version, trace id, parent id and flags with the dashes between them.
const LENGTH: usize = 55;

/// The id of a trace: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct TraceId([u8; 32]);

impl TraceId {
    /// The id in `traceparent`, if there is one such header and it is valid.
    pub(in crate::proxy) fn of(headers: &HeaderMap) -> Option<Self> {
        let [id, ..] = parts(headers)?;
        id.try_into().ok().map(Self)
    }

    pub(in crate::proxy) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are text")
    }
}

/// Trace id, parent id and flags, all in hexadecimal digits, if there is one `traceparent` and it is valid.
pub(in crate::proxy) fn parts(headers: &HeaderMap) -> Option<[&[u8]; 3]> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let (version, id, parent, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    let dashes = [2, 35, 52].iter().all(|&at| known[at] == b'-');
    let digits = [version, id, parent, flags].iter().all(|part| part.iter().all(is_digit));
    let is_set = |id: &[u8]| id.iter().any(|&digit| digit != b'0');
    // A later version may go on after a dash; ff is none.
    let ends = rest.is_empty() || (version != b"00" && rest[0] == b'-');
    let valid = dashes && digits && is_set(id) && is_set(parent) && ends && version != b"ff";
    valid.then_some([id, parent, flags])
}

fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("traceparent", value.parse().expect("a value"));
        }
        TraceId::of(&headers).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn a_valid_traceparent_has_an_id() {
        for value in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-is-to-come",
        ] {
            assert_eq!(id(&[value]).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"), "{value}");
        }
    }

    #[test]
    fn an_invalid_traceparent_has_no_id() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(id(&[]), None);
        assert_eq!(id(&[valid, valid]), None, "two say nothing");
        for value in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        ] {
            assert_eq!(id(&[value]), None, "{value}");
        }
    }
}
