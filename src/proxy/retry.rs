//! Which attempts are followed by another: none that may run a request twice.

use std::time::Duration;

use http::{HeaderMap, Method, Response, StatusCode};
use smallvec::SmallVec;

use super::{
    headers::{X_AMZN_ERRORTYPE, X_AMZN_REQUESTID},
    upstream::{Failure, UpstreamError},
};

/// How many failures to connect are followed by another attempt.
const CONNECTS: u32 = 2;

/// What a gateway's refusal says is wrong with a signed request, where the proxy can cure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ailment {
    /// The credentials have expired or are not known.
    Credentials,
    /// The signing time is too far from the gateway's.
    Clock,
}

impl Ailment {
    /// The label in the metric of retries.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Clock => "clock-skew",
        }
    }
}

/// What is left of a request's chances.
#[derive(Debug)]
pub(super) struct Attempts {
    idempotent: bool,
    connects: u32,
    /// How many connections had been made when one that was used before failed.
    stale: Option<u64>,
    /// What has been cured, and is not tried again.
    cured: SmallVec<[Ailment; 2]>,
}

/// Another attempt that is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// The label in the metric of retries.
    pub(super) reason: &'static str,
    /// The pause before it.
    pub(super) pause: Duration,
}

impl Attempts {
    pub(super) fn new(method: &Method) -> Self {
        let idempotent = matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
        Self { idempotent, connects: 0, stale: None, cured: SmallVec::new() }
    }

    /// That the next attempt needs a connection which is newer than the first so many.
    pub(super) fn needs_newer_than(&self) -> Option<u64> {
        self.stale
    }

    /// Whether a failed attempt is followed by another.
    ///
    /// `chance` in 0..1 spreads the pause, so that requests that failed together do not return together.
    pub(super) fn after_failure(&mut self, failure: &Failure, chance: f64) -> Option<Again> {
        if failure.reused && self.stale.replace(failure.connections).is_none() {
            let closed = matches!(failure.error, UpstreamError::Closed(_));
            let safe = failure.unsent || (closed && self.idempotent);
            return safe.then_some(Again { reason: "stale-connection", pause: Duration::ZERO });
        }
        if !failure.unsent || !failure.error.may_pass() || self.connects >= CONNECTS {
            return None;
        }
        self.connects += 1;
        let pause = Duration::from_millis(50) + Duration::from_millis(150).mul_f64(chance);
        Some(Again { reason: "connect", pause })
    }

    /// Whether this may still be cured; asked once for each. A virtual machine that slept needs both: its clock is late,
    /// and its credentials have expired meanwhile.
    pub(super) fn take_cure(&mut self, ailment: Ailment) -> bool {
        let first = !self.cured.contains(&ailment);
        self.cured.push(ailment);
        first
    }
}

/// Whether a response looks like a refusal by the gateway itself, which came before anything ran.
pub(super) fn is_refusal<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::FORBIDDEN
        && response.headers().contains_key(X_AMZN_REQUESTID)
        && matches!(
            error_type(response.headers()),
            Some(
                "ExpiredTokenException"
                    | "UnrecognizedClientException"
                    | "InvalidSignatureException"
                    | "InvalidClientTokenId"
            )
        )
}

/// What a refusal says is wrong, from its type and its text.
///
/// "Missing Authentication Token" in answer to a signed request means a wrong route, and "not authorized"
/// means policy: neither is among these.
pub(super) fn ailment(headers: &HeaderMap, text: &[u8]) -> Option<Ailment> {
    let text = String::from_utf8_lossy(text);
    match error_type(headers)? {
        "ExpiredTokenException" => Some(Ailment::Credentials),
        "UnrecognizedClientException" | "InvalidClientTokenId" if text.contains("security token") => {
            Some(Ailment::Credentials)
        }
        "InvalidSignatureException"
            if text.contains("Signature expired") || text.contains("Signature not yet current") =>
        {
            Some(Ailment::Clock)
        }
        _ => None,
    }
}

/// `x-amzn-errortype`, without the address that some services append.
fn error_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(X_AMZN_ERRORTYPE)?.to_str().ok()?.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls_fault::{CertificateFault, TlsFault};

    fn failure(error: UpstreamError, unsent: bool, reused: bool) -> Failure {
        Failure { error, unsent, reused, connections: 3 }
    }

    fn closed() -> UpstreamError {
        UpstreamError::Closed("reset".into())
    }

    fn refused() -> UpstreamError {
        UpstreamError::Refused("refused".into())
    }

    #[test]
    fn a_failure_to_connect_is_tried_twice_more_whatever_the_method() {
        let mut attempts = Attempts::new(&Method::POST);
        assert!(attempts.after_failure(&failure(refused(), true, false), 0.5).is_some());
        assert!(attempts.after_failure(&failure(refused(), true, false), 0.5).is_some());
        assert!(attempts.after_failure(&failure(refused(), true, false), 0.5).is_none());
    }

    #[test]
    fn a_stale_connection_is_replaced_once_for_idempotent_methods() {
        for (method, again) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
            (Method::from_bytes(b"PROPFIND").expect("a method"), false),
            (Method::from_bytes(b"get").expect("a method"), false),
        ] {
            let mut attempts = Attempts::new(&method);
            assert_eq!(
                attempts.after_failure(&failure(closed(), false, true), 0.0).is_some(),
                again,
                "{method}"
            );
            assert!(attempts.after_failure(&failure(closed(), false, true), 0.0).is_none(), "{method}");
        }
    }

    #[test]
    fn a_request_of_which_nothing_was_sent_may_be_sent_again_by_any_method() {
        let mut attempts = Attempts::new(&Method::POST);
        assert!(attempts.after_failure(&failure(closed(), true, true), 0.0).is_some());
        assert_eq!(attempts.needs_newer_than(), Some(3));
    }

    #[test]
    fn a_request_that_several_connections_have_not_begun_with_goes_on_until_two_more_have_failed() {
        let mut attempts = Attempts::new(&Method::POST);
        let reasons = [(); 4]
            .map(|()| attempts.after_failure(&failure(closed(), true, true), 0.0).map(|again| again.reason));
        assert_eq!(reasons, [Some("stale-connection"), Some("connect"), Some("connect"), None]);
    }

    #[test]
    fn a_request_that_may_have_run_is_not_sent_again() {
        for error in [closed(), UpstreamError::ResponseTimeout, UpstreamError::Protocol("x".into())] {
            assert!(Attempts::new(&Method::GET).after_failure(&failure(error, false, false), 0.0).is_none());
        }
    }

    #[test]
    fn a_connection_from_the_pool_excuses_its_own_end_and_nothing_else() {
        for error in [UpstreamError::ResponseTimeout, UpstreamError::Protocol("x".into())] {
            assert!(Attempts::new(&Method::GET).after_failure(&failure(error, false, true), 0.0).is_none());
        }
    }

    #[test]
    fn connections_are_tried_again_after_a_pause_that_is_spread() {
        for (chance, millis) in [(0.0, 50), (0.5, 125), (1.0, 200)] {
            let again = Attempts::new(&Method::GET).after_failure(&failure(refused(), true, false), chance);
            let pause = Duration::from_millis(millis);
            assert_eq!(again, Some(Again { reason: "connect", pause }), "{chance}");
        }
        let again = Attempts::new(&Method::GET).after_failure(&failure(closed(), false, true), 1.0);
        assert_eq!(again, Some(Again { reason: "stale-connection", pause: Duration::ZERO }));
    }

    #[test]
    fn an_untrusted_certificate_is_not_asked_for_again() {
        let untrusted = failure(
            UpstreamError::Tls(TlsFault::Certificate(CertificateFault::UnknownAuthority)),
            true,
            false,
        );
        assert!(Attempts::new(&Method::GET).after_failure(&untrusted, 0.0).is_none());
    }

    fn refusal(error_type: &'static str, text: &str) -> Option<Ailment> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().insert("x-amzn-requestid", http::HeaderValue::from_static("id"));
        response.headers_mut().insert("x-amzn-errortype", http::HeaderValue::from_static(error_type));
        is_refusal(&response).then(|| ailment(response.headers(), text.as_bytes())).flatten()
    }

    #[test]
    fn only_token_and_clock_can_be_cured() {
        for (error_type, text, expected) in [
            (
                "ExpiredTokenException",
                "The security token included in the request is expired",
                Some(Ailment::Credentials),
            ),
            (
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                Some(Ailment::Credentials),
            ),
            (
                "InvalidSignatureException",
                "Signature expired: 20170212T175938Z is now earlier than 20170215T145534Z",
                Some(Ailment::Clock),
            ),
            (
                "InvalidSignatureException:http://internal.amazon.com/",
                "Signature not yet current: 20170212T175938Z is still later than",
                Some(Ailment::Clock),
            ),
            (
                "InvalidClientTokenId",
                "The security token included in the request is invalid",
                Some(Ailment::Credentials),
            ),
            ("UnrecognizedClientException", "No account has this name", None),
            ("InvalidSignatureException", "The request signature we calculated does not match", None),
            ("MissingAuthenticationTokenException", "Missing Authentication Token", None),
            ("AccessDeniedException", "User: arn:aws:sts::1:x is not authorized to perform", None),
            ("IncompleteSignatureException", "Authorization header requires 'Credential' parameter.", None),
        ] {
            assert_eq!(refusal(error_type, text), expected, "{text}");
        }
    }

    #[test]
    fn each_ailment_is_cured_once() {
        let mut attempts = Attempts::new(&Method::POST);
        assert!(attempts.take_cure(Ailment::Clock));
        assert!(attempts.take_cure(Ailment::Credentials));
        assert!(!attempts.take_cure(Ailment::Credentials));
        assert!(!attempts.take_cure(Ailment::Clock));
    }

    #[test]
    fn a_403_without_the_gateways_request_id_is_the_backends() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
            .headers_mut()
            .insert("x-amzn-errortype", http::HeaderValue::from_static("ExpiredTokenException"));
        assert!(!is_refusal(&response));
    }

    #[test]
    fn no_other_status_is_a_refusal() {
        for status in [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED] {
            let mut response = Response::new(());
            *response.status_mut() = status;
            for (name, value) in [("x-amzn-requestid", "id"), ("x-amzn-errortype", "ExpiredTokenException")] {
                response.headers_mut().insert(name, http::HeaderValue::from_static(value));
            }
            assert!(!is_refusal(&response), "{status}");
        }
    }
}
