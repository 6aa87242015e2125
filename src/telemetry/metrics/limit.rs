//! The limits that a request or a connection can reach, as the label of a metric.

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Connections at the same time.
    Connections,
    /// Requests that wait for the upstream at the same time.
    InFlight,
    /// WebSocket connections at the same time.
    Tunnels,
    /// The memory that all request bodies share.
    BodyMemory,
    /// The length of one request body.
    BodySize,
    /// The time for a request body to arrive.
    BodyTime,
    /// The length of a request's head or target, or the number of its fields.
    HeadSize,
    /// The time for a head to arrive.
    HeadTime,
    /// The time for a client to take some of an answer.
    ReadTime,
}

impl Limit {
    /// As the label says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::InFlight => "in-flight",
            Self::Tunnels => "tunnels",
            Self::BodyMemory => "body-memory",
            Self::BodySize => "body-size",
            Self::BodyTime => "body-time",
            Self::HeadSize => "head-size",
            Self::HeadTime => "head-time",
            Self::ReadTime => "read-time",
        }
    }
}
