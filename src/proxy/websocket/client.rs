//! A WebSocket of this process itself, without a listener: the handshake is the one that clients of the proxy get.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};

use super::{
    close_code::{CloseMeaning, ClosedBy, End},
    handshake::Handshake,
};
use crate::{
    proxy::{ProxyError, Ready, Sent, SigningClient},
    upstream::{Upgraded, UpgradedConnection},
};

/// The signing name of API Gateway, whose limits are known.
const API_GATEWAY: &str = "execute-api";

/// A handshake that can be signed and sent.
#[derive(Debug)]
pub(crate) struct ClientHandshake<'a> {
    ready: Ready<'a>,
    handshake: Handshake,
}

/// What a handshake led to.
#[derive(Debug)]
pub(crate) enum Connected {
    /// Frames may be sent. The subprotocol is one of those that were offered, if the API chose one.
    Open { connection: UpgradedConnection, protocol: Option<String> },
    /// The API answered something else than 101.
    Refused(Sent),
}

/// How an API ended a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiEnd {
    /// The Close frame, if there was one, and its code, if it has one.
    pub(crate) close: Option<Option<u16>>,
    /// From the 101 to the end.
    pub(crate) lasted: Duration,
    /// From the last message to the end.
    pub(crate) silence: Duration,
}

impl<'a> ClientHandshake<'a> {
    /// # Errors
    /// When the request cannot go anywhere.
    pub(crate) fn plan(
        client: &'a SigningClient,
        path: &str,
        query: Option<&str>,
        mut headers: HeaderMap,
    ) -> Result<Self, ProxyError> {
        // This process compresses nothing, so that it may not offer to.
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        let handshake = Handshake::with_random_key();
        let ready = client.plan(Method::GET, path, query, headers)?.with_handshake(&handshake)?;
        Ok(Self { ready, handshake })
    }

    /// The request.
    pub(crate) fn ready(&self) -> &Ready<'a> {
        &self.ready
    }

    /// Signs and sends the handshake, with the attempts that a request gets.
    ///
    /// # Errors
    /// When there are no credentials, the upstream does not answer, or its 101 is for another handshake.
    pub(crate) async fn connect(&self, client: &SigningClient) -> Result<Connected, ProxyError> {
        let mut sent = client.call(&self.ready).await?;
        if sent.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Connected::Refused(sent));
        }
        let upgraded = sent.response.extensions_mut().remove::<Upgraded>();
        let agreement = self.handshake.agree(&self.ready.unsigned.headers, sent.response.headers())?;
        let connection = upgraded.and_then(|upgraded| upgraded.take());
        let connection = connection.ok_or(ProxyError::Internal("a 101 without its connection".into()))?;
        Ok(Connected::Open { connection, protocol: agreement.protocol().map(str::to_owned) })
    }

    /// Cause and cure of the connection's end, as clauses; the cure is empty where there is nothing to do.
    pub(crate) fn meaning_of(&self, end: &ApiEnd) -> (&'static str, &'static str) {
        let ApiEnd { close, lasted, silence } = *end;
        let is_gateway = self.ready.scope().service == API_GATEWAY;
        let end = End { by: ClosedBy::Upstream, close, lasted, silence, is_gateway };
        let CloseMeaning { cause, cure, .. } = CloseMeaning::of(&end);
        (cause, cure)
    }
}
