//! WebSockets: the handshake (RFC 6455), which is a signed request, and the tunnel behind it.

pub(in crate::proxy) mod client;
mod close_code;
mod close_frame;
mod closing;
mod flow;
pub(in crate::proxy) mod frame_reader;
pub(in crate::proxy) mod handshake;
mod observer;
mod tunnel;

use std::{mem, sync::Arc};

use http::{HeaderValue, Response, StatusCode, request::Parts};

use super::{
    attempt::refusal_logger,
    error::ProxyError,
    exchange::Proxy,
    outcome::Outcome,
    request_id::RequestId,
    response::{self, body::Body},
};
use crate::{downstream::Upgrade, telemetry::metrics::Limit, upstream::Upgraded};
use handshake::Handshake;
use observer::{HandshakeFacts, Observer};
use tunnel::Tunnel;

impl Proxy {
    /// Passes a handshake on, signed as any request. A 101 joins the client's connection with the upstream's; any other
    /// answer is the API's own.
    ///
    /// # Errors
    /// When the request is no handshake, it cannot be sent, or the upstream's 101 does not answer it.
    pub(super) async fn websocket(
        &self,
        parts: &mut Parts,
        client_host: Option<&HeaderValue>,
        id: &RequestId,
        outcome: &mut Outcome,
    ) -> Result<Response<Body>, ProxyError> {
        let handshake = Handshake::of(parts)?;
        let tunnel_place = Arc::clone(&self.tunnels).try_acquire_owned();
        let tunnel_place = tunnel_place.map_err(|_| ProxyError::Overloaded(Limit::Tunnels))?;
        let facts = HandshakeFacts::of(parts, id, outcome.recording.as_ref());
        let (method, headers) = (parts.method.clone(), mem::take(&mut parts.headers));
        let plan = self.client.planner.plan(method, parts.uri.path(), parts.uri.query(), headers)?;
        let ready = plan.with_handshake(&handshake)?;
        if let Some(recording) = &outcome.recording {
            recording.received(&ready.unsigned.headers, ready.recorded_body());
        }
        // Held until the answer, as for any request. A tunnel holds none.
        let _place = self.in_flight.try_acquire().map_err(|_| ProxyError::Overloaded(Limit::InFlight))?;
        let mut sent = self.client.sender.send(&ready, outcome).await?;
        if sent.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let sent = refusal_logger::watch(sent, &ready, id.as_str(), outcome.recording.as_ref());
            return Ok(response::rewrite(sent.response, &ready, client_host));
        }
        let upgraded = sent.response.extensions_mut().remove::<Upgraded>();
        let agreement = handshake.agree(&ready.unsigned.headers, sent.response.headers())?;
        let upstream = upgraded
            .and_then(|upgraded| upgraded.take())
            .ok_or(ProxyError::Internal("a 101 without its connection".into()))?;
        let mut response = response::rewrite(sent.response, &ready, client_host).map(|_| Body::empty());
        let is_gateway = ready.route.scope().service == "execute-api";
        let observer = Observer::begin(facts, agreement.extensions(), is_gateway, self.metrics());
        let idle_timeout = self.websocket_idle;
        agreement.write(response.headers_mut());
        response.extensions_mut().insert(Upgrade::new(move |client| {
            Tunnel::new(client, upstream, observer, idle_timeout, tunnel_place).run()
        }));
        Ok(response)
    }
}
