//! A signature over another request than the gateway received: our canonical request beside the gateway's.

use crate::{
    proxy::meaning::{Details, Difference, Evidence, Meaning, words::shown},
    signing::{Computed, Part, Row, compare},
};

const REDACTED: &str = "(redacted)";

/// Names of parts that tell that a value is a secret: session tokens, keys that S3 encrypts with, and the like.
const SECRETS: [&str; 6] = ["token", "key", "secret", "password", "authorization", "cookie"];

/// Refusals because the signature differs.
pub(super) fn meaning(evidence: &Evidence<'_>) -> Option<Meaning> {
    let words = evidence.words;
    if words.typed(&["XAmzContentSHA256Mismatch"]) {
        let cause = "the body that arrived is not the one that was signed";
        return Some(Meaning::new("signature-differs", cause, cure_of(&Part::PayloadHash, None)));
    }
    let is_difference = words.typed(&["InvalidSignatureException", "SignatureDoesNotMatch"])
        || words.says("signature we calculated does not match");
    if !is_difference {
        return None;
    }
    let Some(computed) = Computed::find(words.body()) else {
        return Some(Meaning::new(
            "signature-differs",
            "the gateway computed another signature, and does not show from what: the request was changed on the way, \
             or signed with another Host or secret key",
            "set sign-host if the API expects another Host than the name in upstream; compare \"countersign explain\" \
             with what the API receives",
        ));
    };
    let rows = compare(&evidence.request.canonical_request, &computed.canonical_request);
    let differing: Vec<Row> = rows.into_iter().filter(Row::differs).collect();
    let difference = Some(differing.iter().map(shown_row).collect());
    Some(of_rows(&differing).with(Details { difference, ..Details::default() }))
}

fn of_rows(differing: &[Row]) -> Meaning {
    let Some(first) = differing.iter().min_by_key(|row| rank(&row.part)) else {
        return Meaning::new(
            "signature-differs",
            "the gateway received the request as it was signed, and computed another signature: the secret key is not \
             the one of the access key",
            "sign in again with \"countersign login\"; the access key, secret key and session token must come from the \
             same answer of AWS",
        );
    };
    let parts: Vec<String> = differing.iter().map(|row| row.part.to_string()).collect();
    let parts = parts.join(", ");
    let cause = format!("the gateway received another request than was signed; these parts differ: {parts}");
    Meaning::new("signature-differs", cause, cure_of(&first.part, first.theirs.as_deref()))
}

/// The part whose change explains the most comes first: another Host means another name, whatever else differs.
fn rank(part: &Part) -> u8 {
    match part {
        Part::Header(name) if name == "host" => 0,
        Part::Method => 1,
        Part::Path => 2,
        Part::Query => 3,
        Part::PayloadHash => 4,
        Part::Header(_) => 5,
        Part::SignedHeaders => 6,
    }
}

fn cure_of(part: &Part, theirs: Option<&str>) -> String {
    match part {
        Part::Header(name) if name == "host" => match theirs {
            Some(host) => {
                format!("set sign-host to {}, under which the API receives the request", shown(host))
            }
            None => "set sign-host to the name under which the API receives the request".to_owned(),
        },
        Part::Method => {
            "let nothing on the way change the method, a redirect or a method override for example".to_owned()
        }
        Part::Path => {
            "let the setting upstream have the base path that the API sees, and let no hop rewrite or decode \
                       the path"
                .to_owned()
        }
        Part::Query => "let no hop on the way add parameters to the query or encode it anew".to_owned(),
        Part::PayloadHash => {
            "let no hop on the way change the body, by compression or conversion for example".to_owned()
        }
        Part::Header(name) => format!("let no hop on the way change the header {}", shown(name)),
        Part::SignedHeaders => "let no hop on the way change Authorization".to_owned(),
    }
}

fn shown_row(row: &Row) -> Difference {
    let is_secret = match &row.part {
        Part::Header(name) => SECRETS.iter().any(|secret| name.contains(secret)),
        _ => false,
    };
    let side = |text: &Option<String>| {
        text.as_deref().map(|text| match &row.part {
            _ if is_secret => REDACTED.to_owned(),
            Part::Query => shown(&without_secrets(text)),
            _ => shown(text),
        })
    };
    Difference { part: shown(&row.part.to_string()), ours: side(&row.ours), theirs: side(&row.theirs) }
}

/// A canonical query without the values of parameters that are secrets by their names.
fn without_secrets(query: &str) -> String {
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, value)) if !value.is_empty() && is_secret(name) => format!("{name}={REDACTED}"),
        _ => parameter.to_owned(),
    });
    parameters.collect::<Vec<_>>().join("&")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("x-amz-") || SECRETS.iter().any(|secret| name.contains(secret))
}
