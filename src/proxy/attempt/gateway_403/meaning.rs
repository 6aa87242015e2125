//! The words of gateways and what they stand for.

use std::fmt;

use crate::signing::{Computed, Part, Row, compare};

/// Why a gateway refused a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// API Gateway's "Missing Authentication Token" in answer to a signature.
    NoSuchRoute,
    /// A policy denies it.
    Denied {
        principal: Option<String>,
        action: Option<String>,
        resource: Option<String>,
        /// What the gateway adds, `explicit deny in a resource-based policy`.
        because: Option<String>,
    },
    /// The session token has expired.
    TokenExpired,
    /// The access key or the session token is not known.
    TokenInvalid,
    /// The signing time is too far from the gateway's; its own words say how far.
    ClockSkew { words: String },
    /// The scope has another region than the gateway's.
    WrongRegion { words: String },
    /// The scope has another service than the gateway's.
    WrongService { expected: Option<String> },
    /// The gateway does not take signatures of this algorithm.
    WrongAlgorithm { words: String },
    /// The gateway computed another signature.
    SignatureDiffers {
        /// Where the canonical requests differ; `None` when the gateway does not show its own.
        parts: Option<Vec<Part>>,
    },
    /// The signature did not arrive as it was sent.
    Incomplete,
    /// The host, the stage or a firewall.
    Forbidden,
    /// A Lambda function URL.
    FunctionUrl,
}

impl Meaning {
    /// What a 403 means, from its error type and its text; `None` when it is not a gateway's.
    pub(super) fn of(error_type: Option<&str>, body: &str, ours: &str) -> Option<Self> {
        let words = message(body);
        let words = words.as_str();
        let says = |text: &str| words.contains(text);
        let typed = |name: &str| error_type == Some(name);
        if says("Missing Authentication Token") || typed("MissingAuthenticationTokenException") {
            return Some(Self::NoSuchRoute);
        }
        if says("Function URL authorization") {
            return Some(Self::FunctionUrl);
        }
        if says("not authorized to perform") {
            return Some(denied(words));
        }
        if typed("ExpiredTokenException") || says("security token included in the request is expired") {
            return Some(Self::TokenExpired);
        }
        if typed("UnrecognizedClientException") || says("security token included in the request is invalid") {
            return Some(Self::TokenInvalid);
        }
        if says("Signature expired") || says("Signature not yet current") || says("RequestTimeTooSkewed") {
            return Some(Self::ClockSkew { words: first_line(words) });
        }
        if says("scoped to a valid region") || says("the region") && says("is wrong") {
            return Some(Self::WrongRegion { words: first_line(words) });
        }
        if says("scoped to correct service") {
            return Some(Self::WrongService { expected: quoted(words) });
        }
        if says("Unsupported AWS 'algorithm'") {
            return Some(Self::WrongAlgorithm { words: first_line(words) });
        }
        if typed("InvalidSignatureException") || says("signature we calculated does not match") {
            return Some(Self::SignatureDiffers { parts: differing(body, ours) });
        }
        if typed("IncompleteSignatureException") {
            return Some(Self::Incomplete);
        }
        if typed("AccessDeniedException") {
            return Some(denied(words));
        }
        // An HTTP API gives no reason, and no error type either.
        (typed("ForbiddenException") || error_type.is_none() && words == "Forbidden")
            .then_some(Self::Forbidden)
    }

    /// A stable name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::NoSuchRoute => "no-such-route",
            Self::Denied { .. } => "denied",
            Self::TokenExpired => "token-expired",
            Self::TokenInvalid => "token-invalid",
            Self::ClockSkew { .. } => "clock-skew",
            Self::WrongRegion { .. } => "wrong-region",
            Self::WrongService { .. } => "wrong-service",
            Self::WrongAlgorithm { .. } => "wrong-algorithm",
            Self::SignatureDiffers { .. } => "signature-differs",
            Self::Incomplete => "incomplete-signature",
            Self::Forbidden => "forbidden",
            Self::FunctionUrl => "function-url",
        }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchRoute => f.write_str(
                "no such path, method or stage (the gateway says \"Missing Authentication Token\" of these)",
            ),
            Self::Denied { principal, action, resource, because } => {
                let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
                write!(f, "a policy denies {} to {}", known(action), known(principal))?;
                write!(f, " on {}", known(resource))?;
                because.as_ref().map_or(Ok(()), |because| write!(f, " ({because})"))
            }
            Self::TokenExpired => f.write_str("the credentials have expired"),
            Self::TokenInvalid => f.write_str("the credentials are not known or not active"),
            Self::ClockSkew { words } => write!(f, "the signing time is too far from its own: {words}"),
            Self::WrongRegion { words } => {
                write!(f, "the setting region or region-set does not name the region of the API: {words}")
            }
            Self::WrongService { expected: Some(expected) } => {
                write!(f, "the setting service should be {expected}")
            }
            Self::WrongService { expected: None } => f.write_str("the setting service is wrong"),
            Self::WrongAlgorithm { words } => {
                write!(f, "the API does not take this kind of signature; set region instead of region-set: {words}")
            }
            Self::SignatureDiffers { parts: None } => f.write_str(
                "it computed another signature; something between here and it changes the request, or the \
                 setting sign-host is needed",
            ),
            Self::SignatureDiffers { parts: Some(parts) } if parts.is_empty() => {
                f.write_str("it computed another signature of the same canonical request: another secret key")
            }
            Self::SignatureDiffers { parts: Some(parts) } => {
                let parts: Vec<String> = parts.iter().map(Part::to_string).collect();
                write!(f, "it received another request than was signed; differs in: {}", parts.join(", "))
            }
            Self::Incomplete => f.write_str("the signature did not arrive as it was sent"),
            Self::Forbidden => f.write_str(
                "it gives no reason; the policy of the role, the stage, the Host (setting sign-host) or a firewall",
            ),
            Self::FunctionUrl => f.write_str(
                "the function's policy must allow both lambda:InvokeFunctionUrl and lambda:InvokeFunction",
            ),
        }
    }
}

/// The message of a JSON body or of S3's XML, else the text as it is.
fn message(body: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let found = value.as_ref().and_then(|value| {
        ["message", "Message", "errorMessage"].iter().find_map(|key| value.get(key)?.as_str())
    });
    found.unwrap_or(body).trim().to_owned()
}

/// `User: P is not authorized to perform: A on resource: R with an explicit deny in …`
fn denied(words: &str) -> Meaning {
    let after = |marker: &str| {
        let rest = words.split_once(marker)?.1;
        let word = rest.split_whitespace().next()?;
        Some(first_line(word.trim_end_matches(['.', ','])))
    };
    let because = ["with an ", "because "].iter().find_map(|marker| {
        let rest = words.split_once(marker)?.1;
        Some(first_line(rest).trim_end_matches('.').to_owned())
    });
    Meaning::Denied {
        principal: after("User: "),
        action: after("not authorized to perform: "),
        resource: after("on resource: "),
        because,
    }
}

fn differing(body: &str, ours: &str) -> Option<Vec<Part>> {
    let computed = Computed::find(body)?;
    let rows = compare(ours, &computed.canonical_request);
    Some(rows.into_iter().filter(Row::differs).map(|row| row.part).collect())
}

fn quoted(words: &str) -> Option<String> {
    words.split('\'').nth(1).map(first_line)
}

/// One line of a bounded length, without control characters and those that turn the direction of text: what an upstream
/// says goes into the log.
pub(super) fn first_line(words: &str) -> String {
    let line = words.trim().lines().next().unwrap_or_default();
    let is_harmless = |letter: &char| {
        !letter.is_control()
            && !matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    line.chars().filter(is_harmless).take(600).collect()
}

#[cfg(test)]
mod tests;
