//! Lists as OpenTelemetry writes them, `key=value,key=value` with percent-encoded values.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::request_target::has_sound_escapes;

/// The pairs of a list, and the places of what is none, from 1.
pub(super) fn pairs(text: &str) -> (Vec<(String, String)>, Vec<usize>) {
    let (mut pairs, mut wrong) = (Vec::new(), Vec::new());
    for (place, item) in (1..).zip(text.split(',').map(str::trim)) {
        match pair(item) {
            Some(pair) => pairs.push(pair),
            // A comma at the end does no harm.
            None if item.is_empty() => {}
            None => wrong.push(place),
        }
    }
    (pairs, wrong)
}

fn pair(item: &str) -> Option<(String, String)> {
    let (key, value) = item.split_once('=')?;
    let key = key.trim();
    (!key.is_empty()).then(|| Some((key.to_owned(), decoded(value.trim())?)))?
}

/// What a percent-encoded text stands for, if it is one and text.
fn decoded(text: &str) -> Option<String> {
    has_sound_escapes(text.as_bytes())
        .then(|| percent_decode_str(text).decode_utf8().ok())?
        .map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_invalid_items_are_counted() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (text, expected, wrong) in [
            ("a=b", vec![pair("a", "b")], vec![]),
            (" a = b , c=d=e,", vec![pair("a", "b"), pair("c", "d=e")], vec![]),
            ("a=%20x%2Cy%c3%a9,b=", vec![pair("a", " x,y\u{e9}"), pair("b", "")], vec![]),
            ("x,=y,a=%2,b=%zz,c=%ff,d=+", vec![pair("d", "+")], vec![1, 2, 3, 4, 5]),
        ] {
            assert_eq!(pairs(text), (expected, wrong), "{text}");
        }
    }
}
