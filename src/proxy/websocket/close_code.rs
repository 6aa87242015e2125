//! What the end of a WebSocket means, in words.

use std::time::Duration;

/// How long API Gateway keeps a WebSocket on which nothing passes.
const GATEWAY_IDLE: Duration = Duration::from_secs(10 * 60);

/// How long API Gateway keeps any WebSocket.
const GATEWAY_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// By how much the gateway's clock and ours may disagree about these times.
const TOLERANCE: Duration = Duration::from_secs(15);

/// Who has ended a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum ClosedBy {
    Client,
    Upstream,
    /// Nothing has passed for `websocket-idle-timeout`.
    Idle,
    /// The proxy ends.
    Shutdown,
}

impl ClosedBy {
    /// The value in the log.
    pub(in crate::proxy) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Idle => "idle",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How a WebSocket ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct End {
    pub(in crate::proxy) by: ClosedBy,
    /// The first Close frame of the side that ended it, if there was one, and the code if the frame has one.
    pub(in crate::proxy) close: Option<Option<u16>>,
    /// From the answer to the handshake to the end.
    pub(in crate::proxy) lasted: Duration,
    /// From the last message in either direction to the end.
    pub(in crate::proxy) silence: Duration,
    /// Whether the upstream is API Gateway, whose limits are known.
    pub(in crate::proxy) is_gateway: bool,
}

/// What the end means; one sentence without a full stop.
pub(in crate::proxy) fn meaning(end: &End) -> &'static str {
    match end.by {
        ClosedBy::Shutdown => return "countersign ended",
        ClosedBy::Idle => return "nothing passed for websocket-idle-timeout",
        ClosedBy::Client | ClosedBy::Upstream => {}
    }
    if let Some(limit) = gateway_limit(end) {
        return limit;
    }
    match end.close {
        None if end.by == ClosedBy::Client => "the client closed the connection without a Close frame",
        None => "the upstream closed the connection without a Close frame",
        Some(None) => "a Close frame without a code",
        Some(Some(code)) => of_code(code),
    }
}

/// API Gateway sends 1001 for both of its times, or closes the connection; the times tell them apart.
fn gateway_limit(end: &End) -> Option<&'static str> {
    let is_limit = matches!(end.close, None | Some(Some(1001)));
    if !end.is_gateway || end.by != ClosedBy::Upstream || !is_limit {
        return None;
    }
    let reached = |time: Duration, limit| time + TOLERANCE >= limit && time <= limit + TOLERANCE;
    if reached(end.lasted, GATEWAY_LIFE) {
        return Some("API Gateway closes every WebSocket after 2 hours; the client connects again");
    }
    reached(end.silence, GATEWAY_IDLE)
        .then_some("API Gateway closes a WebSocket after 10 minutes without a message; send one more often")
}

/// The registry of RFC 6455 section 11.7, and what lies around it.
fn of_code(code: u16) -> &'static str {
    match code {
        1000 => "closed normally",
        1001 => "the endpoint is going away",
        1002 => "the other side broke the WebSocket protocol",
        1003 => "the endpoint does not take this type of data",
        1005 | 1006 | 1015 => "a code that RFC 6455 forbids in a Close frame",
        1007 => "a message has bytes that its type forbids, such as text that is not UTF-8",
        1008 => "a message violates the endpoint's policy",
        1009 => "a message is too big",
        1010 => "the server did not accept an extension that the client needs",
        1011 => "the endpoint failed while it handled a message",
        1012 => "the endpoint restarts",
        1013 => "the endpoint is overloaded; try again later",
        1014 => "a gateway got an invalid response from the server behind it",
        3000 => "the client is not authorized",
        3003 => "the endpoint forbids access",
        3008 => "the endpoint waited too long",
        3001..=3999 => "a code of a library or framework",
        4000..=4999 => "a code of the application's own",
        _ => "a code without a meaning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn upstream(close: Option<Option<u16>>, lasted: Duration, silence: Duration) -> End {
        End { by: ClosedBy::Upstream, close, lasted, silence, is_gateway: true }
    }

    #[test]
    fn the_gateways_limits_are_recognised_by_their_times() {
        let (idle, life) = ("after 10 minutes", "after 2 hours");
        let second = Duration::from_secs(1);
        for (close, lasted, silence, expected) in [
            (Some(Some(1001)), 34 * MINUTE, 10 * MINUTE, idle),
            (Some(Some(1001)), 34 * MINUTE, 10 * MINUTE - 3 * second, idle),
            (None, 34 * MINUTE, 10 * MINUTE, idle),
            (Some(Some(1001)), 120 * MINUTE, 3 * MINUTE, life),
            (Some(Some(1001)), 120 * MINUTE, 10 * MINUTE, life),
            (Some(Some(1001)), 34 * MINUTE, 5 * MINUTE, "going away"),
            (Some(Some(1001)), 34 * MINUTE, 30 * MINUTE, "going away"),
            (Some(Some(1000)), 34 * MINUTE, 10 * MINUTE, "normally"),
            (Some(Some(1009)), 120 * MINUTE, second, "too big"),
            (None, 34 * MINUTE, second, "the upstream closed the connection without a Close frame"),
        ] {
            let end = upstream(close, lasted, silence);
            assert!(meaning(&end).contains(expected), "{end:?}: {}", meaning(&end));
        }
        for other in [
            End { is_gateway: false, ..upstream(Some(Some(1001)), 34 * MINUTE, 10 * MINUTE) },
            End { by: ClosedBy::Client, ..upstream(Some(Some(1001)), 34 * MINUTE, 10 * MINUTE) },
        ] {
            assert_eq!(meaning(&other), "the endpoint is going away", "{other:?}");
        }
    }

    #[test]
    fn what_the_proxy_ends_says_so_whatever_the_peers_answered() {
        for (by, expected) in
            [(ClosedBy::Shutdown, "countersign ended"), (ClosedBy::Idle, "websocket-idle-timeout")]
        {
            let end = End { by, ..upstream(Some(Some(1001)), 120 * MINUTE, 10 * MINUTE) };
            assert!(meaning(&end).contains(expected), "{by:?}");
        }
    }

    #[test]
    fn every_code_has_words() {
        for (code, expected) in [
            (1000, "normally"),
            (1005, "forbids"),
            (1007, "UTF-8"),
            (3500, "library"),
            (4001, "application"),
            (999, "without a meaning"),
            (1016, "without a meaning"),
            (5000, "without a meaning"),
        ] {
            let end = upstream(Some(Some(code)), MINUTE, MINUTE);
            assert!(meaning(&end).contains(expected), "{code}");
        }
        let end = End { by: ClosedBy::Client, ..upstream(None, MINUTE, MINUTE) };
        assert!(meaning(&end).starts_with("the client closed"));
        assert_eq!(meaning(&upstream(Some(None), MINUTE, MINUTE)), "a Close frame without a code");
    }
}
