//! Requests that do not have the form that a method demands: its body, its parameters, its Content-Type, its size.

use crate::proxy::meaning::{Evidence, Meaning, front};

pub(super) fn meaning(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    if !evidence.is_of_api() {
        return None;
    }
    let says = |text: &str| evidence.says_as_gateway(text);
    let is_too_large = words.typed(&["RequestTooLargeException", "RequestEntityTooLargeException"])
        || says("request too long")
        || says("request entity too large");
    if head.is(413) && is_too_large {
        return Some(front::body_too_large());
    }
    if !evidence.may_be_of_rest_api() {
        return None;
    }
    if head.is(415) && (words.typed(&["UnsupportedMediaTypeException"]) || says("unsupported media type")) {
        return Some(Meaning::new(
            "unsupported-media-type",
            "the integration of the method has no mapping template for the Content-Type of the request",
            "send the Content-Type that the method expects, application/json usually",
        ));
    }
    let is_bad = words.typed(&["BadRequestException"]) || says("invalid request body");
    (head.is(400) && is_bad).then(|| bad_request(evidence))
}

fn bad_request(evidence: &Evidence<'_>) -> Meaning {
    let words = evidence.words;
    if words.says("invalid request body") {
        return Meaning::new(
            "invalid-body",
            "the request validator of the method found that the body does not match its model",
            "compare the body and its Content-Type with the model of the method",
        );
    }
    if words.says("missing required request parameters") {
        let names = words.message().split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let names = names.map_or("without names", |(names, _)| names);
        return Meaning::new(
            "missing-parameters",
            format!("the request validator of the method found parameters missing: {names}"),
            "send these as path, query or header parameters, as the method defines them",
        );
    }
    Meaning::new(
        "invalid-request",
        format!("the gateway finds the request malformed: {}", words.message()),
        "correct the request as the message says",
    )
}
