//! What the end of a WebSocket means, in words.

use std::time::Duration;

use serde_json::{Value, json};

use super::frame_reader::Direction;

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
            Self::Idle | Self::Shutdown => "proxy",
        }
    }
}

/// The sender of a direction.
impl From<Direction> for ClosedBy {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Up => Self::Client,
            Direction::Down => Self::Upstream,
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

/// What an end means. Cause and cure are clauses, as those of a refusal are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct CloseMeaning {
    /// A stable name, `message-too-big` for example.
    pub(in crate::proxy) name: &'static str,
    pub(in crate::proxy) cause: &'static str,
    /// Empty where there is nothing to do.
    pub(in crate::proxy) cure: &'static str,
}

impl CloseMeaning {
    const fn new(name: &'static str, cause: &'static str, cure: &'static str) -> Self {
        Self { name, cause, cure }
    }

    /// What `end` means.
    pub(in crate::proxy) fn of(end: &End) -> Self {
        match end.by {
            ClosedBy::Shutdown => return Self::new("shutdown", "countersign ended", ""),
            ClosedBy::Idle => {
                return Self::new(
                    "idle-timeout",
                    "nothing passed for websocket-idle-timeout",
                    "send a message or a ping more often, or raise websocket-idle-timeout",
                );
            }
            ClosedBy::Client | ClosedBy::Upstream => {}
        }
        if let Some(limit) = gateway_limit(end) {
            return limit;
        }
        match end.close {
            None if end.by == ClosedBy::Client => {
                Self::new("no-close-frame", "the client closed the connection without a Close frame", "")
            }
            None => Self::new(
                "no-close-frame",
                "the upstream closed the connection without a Close frame",
                "look at the logs of the API, which may have failed or restarted",
            ),
            Some(None) => Self::new("no-code", "the Close frame has no code", ""),
            Some(Some(1009)) if end.is_gateway && end.by == ClosedBy::Upstream => Self::new(
                "message-too-big",
                "API Gateway takes messages of up to 128 KiB in frames of up to 32 KiB",
                "split the message",
            ),
            Some(Some(code)) => of_code(code),
        }
    }

    /// For the inspector.
    pub(in crate::proxy) fn to_json(self) -> Value {
        json!({ "name": self.name, "cause": self.cause, "cure": self.cure })
    }

    /// Whether nothing went wrong, as far as anyone can tell who does not know the application.
    pub(in crate::proxy) fn is_ordinary(&self) -> bool {
        matches!(self.name, "normal" | "going-away" | "no-code" | "library" | "application" | "shutdown")
    }
}

/// API Gateway sends 1001 for both of its times, or closes the connection; the times tell them apart.
fn gateway_limit(end: &End) -> Option<CloseMeaning> {
    let is_limit = matches!(end.close, None | Some(Some(1001)));
    if !end.is_gateway || end.by != ClosedBy::Upstream || !is_limit {
        return None;
    }
    let reached = |time: Duration, limit| time + TOLERANCE >= limit && time <= limit + TOLERANCE;
    if reached(end.lasted, GATEWAY_LIFE) {
        return Some(CloseMeaning::new(
            "gateway-lifetime",
            "API Gateway closes every WebSocket after 2 hours",
            "let the client connect again",
        ));
    }
    reached(end.silence, GATEWAY_IDLE).then_some(CloseMeaning::new(
        "gateway-idle-timeout",
        "API Gateway closes a WebSocket after 10 minutes without a message",
        "send a message more often, or let the client connect again",
    ))
}

/// The registry of RFC 6455 section 11.7, and what lies around it.
fn of_code(code: u16) -> CloseMeaning {
    let (name, cause, cure) = match code {
        1000 => ("normal", "the WebSocket has done its work", ""),
        1001 => ("going-away", "the endpoint is going away", ""),
        1002 => (
            "protocol-error",
            "the other side broke the WebSocket protocol",
            "look for a frame that RFC 6455 forbids",
        ),
        1003 => ("unsupported-data", "the endpoint does not take this type of data", "send the other type"),
        1007 => (
            "invalid-data",
            "a message has bytes that its type forbids, such as text that is not UTF-8",
            "send such data as binary",
        ),
        1008 => ("policy-violation", "a message violates the endpoint's policy", "look at the reason"),
        1009 => ("message-too-big", "a message is too big for the endpoint", "split the message"),
        1010 => (
            "missing-extension",
            "the server did not accept an extension that the client needs",
            "connect without that extension",
        ),
        1011 => (
            "internal-error",
            "the endpoint failed while it handled a message",
            "look at the logs of the API",
        ),
        1012 => ("service-restart", "the endpoint restarts", "let the client connect again"),
        1013 => ("try-again-later", "the endpoint is overloaded", "let the client connect again later"),
        1014 => (
            "bad-gateway",
            "a gateway got an invalid response from the server behind it",
            "look at the logs of the API",
        ),
        3000 => ("unauthorized", "the endpoint does not know who the client is", "look at the reason"),
        3003 => {
            ("forbidden", "the endpoint does not allow the client what it asked for", "look at the reason")
        }
        3008 => ("timeout", "the endpoint waited too long", "let the client connect again"),
        3001..=3999 => ("library", "a library or framework defines the code", ""),
        4000..=4999 => ("application", "the application defines the code", ""),
        _ => ("invalid-code", "RFC 6455 does not allow the code in a Close frame", ""),
    };
    CloseMeaning::new(name, cause, cure)
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
        let (idle, life) = ("gateway-idle-timeout", "gateway-lifetime");
        let second = Duration::from_secs(1);
        for (close, lasted, silence, expected) in [
            (Some(Some(1001)), 34 * MINUTE, 10 * MINUTE, idle),
            (Some(Some(1001)), 34 * MINUTE, 10 * MINUTE - 3 * second, idle),
            (None, 34 * MINUTE, 10 * MINUTE, idle),
            (Some(Some(1001)), 120 * MINUTE, 3 * MINUTE, life),
            (Some(Some(1001)), 120 * MINUTE, 10 * MINUTE, life),
            (Some(Some(1001)), 34 * MINUTE, 5 * MINUTE, "going-away"),
            (Some(Some(1001)), 34 * MINUTE, 30 * MINUTE, "going-away"),
            (Some(Some(1000)), 34 * MINUTE, 10 * MINUTE, "normal"),
            (Some(Some(1009)), 120 * MINUTE, second, "message-too-big"),
            (None, 34 * MINUTE, second, "no-close-frame"),
        ] {
            let end = upstream(close, lasted, silence);
            assert_eq!(CloseMeaning::of(&end).name, expected, "{end:?}");
        }
        for other in [
            End { is_gateway: false, ..upstream(Some(Some(1001)), 34 * MINUTE, 10 * MINUTE) },
            End { by: ClosedBy::Client, ..upstream(Some(Some(1001)), 34 * MINUTE, 10 * MINUTE) },
        ] {
            assert_eq!(CloseMeaning::of(&other).name, "going-away", "{other:?}");
        }
    }

    #[test]
    fn what_the_proxy_ends_says_so_whatever_the_peers_answered() {
        for (by, expected) in [(ClosedBy::Shutdown, "shutdown"), (ClosedBy::Idle, "idle-timeout")] {
            let end = End { by, ..upstream(Some(Some(1001)), 120 * MINUTE, 10 * MINUTE) };
            assert_eq!(CloseMeaning::of(&end).name, expected);
        }
    }

    #[test]
    fn every_code_has_a_meaning_and_only_failures_are_out_of_the_ordinary() {
        for (code, name, is_ordinary) in [
            (1000, "normal", true),
            (1001, "going-away", true),
            (1002, "protocol-error", false),
            (1003, "unsupported-data", false),
            (1004, "invalid-code", false),
            (1005, "invalid-code", false),
            (1006, "invalid-code", false),
            (1007, "invalid-data", false),
            (1008, "policy-violation", false),
            (1009, "message-too-big", false),
            (1010, "missing-extension", false),
            (1011, "internal-error", false),
            (1012, "service-restart", false),
            (1013, "try-again-later", false),
            (1014, "bad-gateway", false),
            (1015, "invalid-code", false),
            (3000, "unauthorized", false),
            (3500, "library", true),
            (4001, "application", true),
            (999, "invalid-code", false),
            (5000, "invalid-code", false),
        ] {
            let meaning = CloseMeaning::of(&upstream(Some(Some(code)), MINUTE, MINUTE));
            assert_eq!((meaning.name, meaning.is_ordinary()), (name, is_ordinary), "{code}");
        }
        assert_eq!(CloseMeaning::of(&upstream(Some(None), MINUTE, MINUTE)).name, "no-code");
    }

    #[test]
    fn a_message_that_is_too_big_names_the_gateways_limits_only_where_the_gateway_closed() {
        let end = upstream(Some(Some(1009)), MINUTE, MINUTE);
        assert!(CloseMeaning::of(&end).cause.contains("128 KiB"));
        for other in [End { is_gateway: false, ..end }, End { by: ClosedBy::Client, ..end }] {
            assert!(!CloseMeaning::of(&other).cause.contains("128 KiB"), "{other:?}");
        }
    }
}
