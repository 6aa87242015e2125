//! Compares two canonical requests: the signer's, and the one that a gateway says it computed.

use std::{borrow::Cow, collections::BTreeMap, fmt};

const CANONICAL: &str = "The Canonical String for this request should have been";
const TO_SIGN: &str = "The String-to-Sign should have been";

/// What a gateway says it has computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// The canonical request.
    pub canonical_request: String,
    /// The string to sign, when the refusal shows it.
    pub string_to_sign: Option<String>,
}

impl Computed {
    /// Finds it in a refusal: API Gateway's message as plain text or in JSON, or S3's XML.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        if let Some(canonical_request) = element(text, "CanonicalRequest") {
            return Some(Self { canonical_request, string_to_sign: element(text, "StringToSign") });
        }
        let message = message(text);
        let after = &message[message.find(CANONICAL)? + CANONICAL.len()..];
        let (canonical, to_sign) = match after.find(TO_SIGN) {
            Some(at) => (&after[..at], Some(&after[at + TO_SIGN.len()..])),
            None => (after, None),
        };
        Some(Self {
            canonical_request: quoted(canonical)?.to_owned(),
            string_to_sign: to_sign.and_then(quoted).map(str::to_owned),
        })
    }

    /// The value of a header in the canonical request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.canonical_request.lines().skip(3).take_while(|line| !line.is_empty());
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    }
}

/// A part of a canonical request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first line.
    Method,
    /// The second line.
    Path,
    /// The third line.
    Query,
    /// A header, by its name.
    Header(String),
    /// The list of names.
    SignedHeaders,
    /// The last line.
    PayloadHash,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("method"),
            Self::Path => f.write_str("path"),
            Self::Query => f.write_str("query"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::SignedHeaders => f.write_str("signed headers"),
            Self::PayloadHash => f.write_str("payload hash"),
        }
    }
}

/// One line of a canonical request on both sides; `None` where a side does not have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The part of the request that the line is.
    pub part: Part,
    /// The signer's line.
    pub ours: Option<String>,
    /// The gateway's line.
    pub theirs: Option<String>,
}

impl Row {
    /// Whether the two sides differ.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.ours != self.theirs
    }

    /// How many characters the two sides have in common from the start.
    #[must_use]
    pub fn common(&self) -> usize {
        let (ours, theirs) = (self.ours.as_deref(), self.theirs.as_deref());
        let pairs = ours.unwrap_or_default().chars().zip(theirs.unwrap_or_default().chars());
        pairs.take_while(|(ours, theirs)| ours == theirs).count()
    }
}

/// Pairs the lines of two canonical requests, headers by their names.
#[must_use]
pub fn compare(ours: &str, theirs: &str) -> Vec<Row> {
    let (ours, theirs) = (Parts::of(ours), Parts::of(theirs));
    let row = |part, ours: &Option<String>, theirs: &Option<String>| Row {
        part,
        ours: ours.clone(),
        theirs: theirs.clone(),
    };
    let mut rows = vec![
        row(Part::Method, &ours.method, &theirs.method),
        row(Part::Path, &ours.path, &theirs.path),
        row(Part::Query, &ours.query, &theirs.query),
    ];
    let mut headers: BTreeMap<&str, (Option<String>, Option<String>)> = BTreeMap::new();
    for (name, value) in &ours.headers {
        headers.entry(name).or_default().0 = Some(value.clone());
    }
    for (name, value) in &theirs.headers {
        headers.entry(name).or_default().1 = Some(value.clone());
    }
    rows.extend(
        headers.iter().map(|(name, (ours, theirs))| row(Part::Header((*name).to_owned()), ours, theirs)),
    );
    rows.push(row(Part::SignedHeaders, &ours.signed_headers, &theirs.signed_headers));
    rows.push(row(Part::PayloadHash, &ours.payload_hash, &theirs.payload_hash));
    rows
}

#[derive(Default)]
struct Parts {
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    headers: Vec<(String, String)>,
    signed_headers: Option<String>,
    payload_hash: Option<String>,
}

impl Parts {
    fn of(canonical_request: &str) -> Self {
        let mut lines = canonical_request.lines().map(str::to_owned);
        let (method, path, query) = (lines.next(), lines.next(), lines.next());
        let headers = lines
            .by_ref()
            .take_while(|line| !line.is_empty())
            .map(|line| match line.split_once(':') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => (line, String::new()),
            })
            .collect();
        let (signed_headers, payload_hash) = (lines.next(), lines.next());
        Self { method, path, query, headers, signed_headers, payload_hash }
    }
}

/// The message in a JSON body, perhaps with a response head before it; else the text as it is.
fn message(text: &str) -> Cow<'_, str> {
    let object = text.find('{').map_or("", |at| &text[at..]);
    let value: Option<serde_json::Value> =
        serde_json::Deserializer::from_str(object).into_iter().next().and_then(Result::ok);
    let message = value.as_ref().and_then(|value| {
        ["message", "Message", "errorMessage"].iter().find_map(|key| value.get(key)?.as_str())
    });
    match message {
        Some(message) => Cow::Owned(message.to_owned()),
        // A message that was copied out of JSON by hand still has escaped line ends.
        None if text.contains("\\n") => Cow::Owned(text.replace("\\n", "\n")),
        None => Cow::Borrowed(text),
    }
}

/// The text between the first and the last quotation mark.
fn quoted(text: &str) -> Option<&str> {
    let (start, end) = (text.find('\'')? + 1, text.rfind('\'')?);
    text.get(start..end)
}

/// The text of an XML element that has no children.
pub(crate) fn element(text: &str, name: &str) -> Option<String> {
    let after = text.split_once(&format!("<{name}>"))?.1;
    let inner = after.split_once(&format!("</{name}>"))?.0;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'")];
    let plain = entities.iter().fold(inner.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    Some(plain.replace("&#10;", "\n").replace("&#xA;", "\n").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "GET\n/prod/a%2520b\nx=1\nhost:a.example\nx-amz-date:20150830T123600Z\n\n\
                        host;x-amz-date\ne3b0";
    const THEIRS: &str = "GET\n/prod/a%20b\nx=1\nhost:a.example\nx-amz-meta-a:1\n\
                          x-amz-date:20150830T123600Z\n\nhost;x-amz-date;x-amz-meta-a\ne3b0";

    fn refusal() -> String {
        format!(
            "The request signature we calculated does not match the signature you provided. Check your AWS \
             Secret Access Key and signing method. Consult the service documentation for details.\n\n\
             The Canonical String for this request should have been\n'{THEIRS}'\n\n\
             The String-to-Sign should have been\n'AWS4-HMAC-SHA256\nd\ns\nh'\n"
        )
    }

    #[test]
    fn the_gateways_canonical_request_is_found_in_every_form_of_a_refusal() {
        let json = serde_json::json!({ "message": refusal() }).to_string();
        let with_head = format!("HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\n\r\n{json}\n");
        let by_hand = json.trim_matches(['{', '}']).to_owned();
        let xml = format!(
            "<Error><Code>SignatureDoesNotMatch</Code><StringToSign>AWS4-HMAC-SHA256\nd\ns\nh</StringToSign>\
             <CanonicalRequest>{THEIRS}</CanonicalRequest></Error>"
        );
        for text in [refusal(), json, with_head, by_hand, xml] {
            let computed = Computed::find(&text).expect(&text);
            assert_eq!(computed.canonical_request, THEIRS);
            assert_eq!(computed.string_to_sign.as_deref(), Some("AWS4-HMAC-SHA256\nd\ns\nh"));
            assert_eq!(computed.header("x-amz-date"), Some("20150830T123600Z"));
        }
    }

    #[test]
    fn other_refusals_show_no_canonical_request() {
        for text in ["", "{\"message\":\"Forbidden\"}", "Signature expired: x", "<Error></Error>"] {
            assert_eq!(Computed::find(text), None, "{text}");
        }
    }

    #[test]
    fn headers_are_compared_by_name_and_the_rest_by_place() {
        let rows = compare(OURS, THEIRS);
        let different: Vec<String> =
            rows.iter().filter(|row| row.differs()).map(|row| row.part.to_string()).collect();
        assert_eq!(different, ["path", "header x-amz-meta-a", "signed headers"]);
        assert_eq!(rows.len(), 8);
        assert_eq!(rows[1].common(), "/prod/a%2".len());
    }

    #[test]
    fn equal_canonical_requests_have_no_difference() {
        assert!(!compare(OURS, OURS).iter().any(Row::differs));
    }

    #[test]
    fn broken_texts_are_compared_as_far_as_they_go() {
        for text in ["", "\n", "GET", "GET\n/\n\nhost", "a\nb\nc\n:\n\n"] {
            assert!(!compare(text, text).iter().any(Row::differs), "{text:?}");
            let _ = compare(OURS, text);
        }
    }
}
