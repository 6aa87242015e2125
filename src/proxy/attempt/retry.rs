//! Which failed attempts are followed by another one: never one that could carry out a request twice.

use std::time::Duration;

use http::Method;
use smallvec::SmallVec;

use super::gateway_403::RetryableRefusal;
use crate::upstream::{Failure, UpstreamError};

/// How many failures to connect are followed by another attempt.
const MAX_CONNECT_RETRIES: u32 = 2;

/// The attempts that a request still has.
#[derive(Debug)]
pub(super) struct Attempts {
    idempotent: bool,
    connects: u32,
    /// How many connections had been made when one that was used before failed.
    stale: Option<u64>,
    /// What has been corrected once, and is not tried again.
    retried: SmallVec<[RetryableRefusal; 2]>,
}

/// Another attempt that is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RetryAfter {
    /// The label in the metric of retries.
    pub(super) reason: &'static str,
    /// The pause before it.
    pub(super) pause: Duration,
}

impl Attempts {
    pub(super) fn new(method: &Method) -> Self {
        // RFC 9110 section 9.2.2, without TRACE, which is not forwarded.
        let idempotent = matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
        Self { idempotent, connects: 0, stale: None, retried: SmallVec::new() }
    }

    /// How many of the upstream's connections are too old for the next attempt.
    pub(super) fn needs_newer_than(&self) -> Option<u64> {
        self.stale
    }

    /// Whether a failed attempt is followed by another.
    ///
    /// `chance` in 0..1 spreads the pause, so that requests that failed together do not return together.
    pub(super) fn after_failure(&mut self, failure: &Failure, chance: f64) -> Option<RetryAfter> {
        // A connection from the pool may have been closed by the upstream while the request was on its way (RFC 9112
        // section 9.3.1). This happens once: the next attempt asks for a newer connection.
        if failure.reused && self.stale.replace(failure.connections).is_none() {
            let closed = matches!(failure.error, UpstreamError::Closed(_));
            let safe = failure.unsent || (closed && self.idempotent);
            return safe.then_some(RetryAfter { reason: "stale-connection", pause: Duration::ZERO });
        }
        if !failure.unsent || !failure.error.may_pass() || self.connects >= MAX_CONNECT_RETRIES {
            return None;
        }
        self.connects += 1;
        let pause = Duration::from_millis(50) + Duration::from_millis(150).mul_f64(chance);
        Some(RetryAfter { reason: "connect", pause })
    }

    /// Whether a refusal of this kind allows another attempt, once for each kind. A virtual machine that slept needs
    /// both: its clock is late, and its credentials have expired meanwhile.
    pub(super) fn allow_once(&mut self, refusal: RetryableRefusal) -> bool {
        let first = !self.retried.contains(&refusal);
        self.retried.push(refusal);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::fault::{CertificateFault, TlsFault};

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
    fn a_failure_to_connect_is_retried_twice_for_every_method() {
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
            assert_eq!(again, Some(RetryAfter { reason: "connect", pause }), "{chance}");
        }
        let again = Attempts::new(&Method::GET).after_failure(&failure(closed(), false, true), 1.0);
        assert_eq!(again, Some(RetryAfter { reason: "stale-connection", pause: Duration::ZERO }));
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

    #[test]
    fn each_kind_of_refusal_is_retried_once() {
        let mut attempts = Attempts::new(&Method::POST);
        assert!(attempts.allow_once(RetryableRefusal::Clock));
        assert!(attempts.allow_once(RetryableRefusal::Credentials));
        assert!(!attempts.allow_once(RetryableRefusal::Credentials));
        assert!(!attempts.allow_once(RetryableRefusal::Clock));
    }
}
