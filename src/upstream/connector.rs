//! Makes a connection to the upstream: name lookup, TCP, a tunnel through a forward proxy, TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Uri, uri::Scheme};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    ConnectStage, UpstreamError,
    connection::{Connection, TlsSession},
    error::{ProxyCause, ProxyFailure},
    resolver::Resolver,
    tcp,
    tls::{self, Trust, TrustError},
    tunnel,
};
use crate::{
    forward_proxy::{ForwardProxies, ForwardProxy},
    tls::fault::TlsFault,
};

/// Connects to one origin.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    scheme: Scheme,
    origin: Endpoint,
    tls: Option<(Trust, ServerName<'static>)>,
    proxy: Option<(Arc<ForwardProxy>, ServerName<'static>)>,
    resolver: Resolver,
    timeout: Duration,
}

/// Where a connection goes: a host name or an address, IPv6 in brackets, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    host: String,
    port: u16,
}

/// How connections are made to any origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectOptions<'a> {
    /// The trusted certificates; needed for https.
    pub(crate) trust: Option<&'a Trust>,
    /// Which origins are reached through a forward proxy.
    pub(crate) proxies: &'a ForwardProxies,
    /// How names are looked up.
    pub(crate) resolver: &'a Resolver,
    /// How long a connection may take. Each address of a name gets a share of it.
    pub(crate) timeout: Duration,
}

impl Connector {
    /// A connector to the scheme and authority of `upstream`.
    ///
    /// # Errors
    /// When TLS is needed without trusted certificates, or for a host that no certificate can name.
    pub(crate) fn new(upstream: &Uri, options: ConnectOptions<'_>) -> Result<Self, TrustError> {
        let scheme = upstream.scheme().cloned().unwrap_or(Scheme::HTTPS);
        let host = upstream.host().unwrap_or_default();
        let secure = scheme != Scheme::HTTP;
        let port = upstream.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = if secure {
            Some((options.trust.ok_or(TrustError::NoRoots)?.clone(), server_name(host)?))
        } else {
            None
        };
        let proxy = match options.proxies.towards(upstream) {
            Some(proxy) => Some((Arc::clone(proxy), server_name(&proxy.host)?)),
            None => None,
        };
        let origin = Endpoint { host: host.to_owned(), port };
        Ok(Self { scheme, origin, tls, proxy, resolver: options.resolver.clone(), timeout: options.timeout })
    }

    /// Whether `other` connects to the same place in the same way, and trusts the same certificates.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.origin == other.origin
            && self.tls == other.tls
            && self.proxy == other.proxy
    }

    /// The same connector, but offering HTTP/1.1 only.
    pub(super) fn http1_only(&self) -> Self {
        let mut connector = self.clone();
        if let Some((trust, _)) = &mut connector.tls {
            *trust = trust.http1_only();
        }
        connector
    }

    pub(super) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Connects, opens the tunnel and negotiates TLS, all before `deadline`.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Connection, UpstreamError> {
        let Some((trust, name)) = &self.tls else {
            return Ok(Connection::Plain(self.connect_tcp(&self.origin, deadline).await?));
        };
        let Some((proxy, proxy_name)) = &self.proxy else {
            let tcp = self.connect_tcp(&self.origin, deadline).await?;
            return Ok(Connection::Tls(Box::new(tls_handshake(&trust.upstream, name, tcp, deadline).await?)));
        };
        let failure = |cause| UpstreamError::Proxy(ProxyFailure::new(proxy, cause));
        let connection_failed = |error| failure(ProxyCause::Connection(Box::new(error)));
        let address = Endpoint { host: proxy.host.clone(), port: proxy.port };
        let tcp = self.connect_tcp(&address, deadline).await.map_err(connection_failed)?;
        if proxy.secure {
            let outer =
                tls_handshake(&trust.proxy, proxy_name, tcp, deadline).await.map_err(connection_failed)?;
            let alert = outer.alert();
            let tunnel = self.tunnel(outer, proxy, deadline).await;
            // A proxy that rejects the session in TLS 1.3 says so by an alert after the handshake.
            let tunnel = tunnel.map_err(|cause| match alert.fault(true) {
                Some(fault) => connection_failed(UpstreamError::Tls(fault)),
                None => failure(cause),
            })?;
            Ok(Connection::TlsInTls(Box::new(tls_handshake(&trust.upstream, name, tunnel, deadline).await?)))
        } else {
            let tunnel = self.tunnel(tcp, proxy, deadline).await.map_err(failure)?;
            Ok(Connection::Tls(Box::new(tls_handshake(&trust.upstream, name, tunnel, deadline).await?)))
        }
    }

    /// Connects to one of the endpoint's addresses.
    async fn connect_tcp(&self, endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream, UpstreamError> {
        let found = timeout_at(deadline, self.resolver.addresses(&endpoint.host)).await;
        let found = found.map_err(|_| UpstreamError::ConnectTimeout(ConnectStage::Lookup))?;
        let addresses = found.map_err(|error| match error.is_shortage() {
            true => UpstreamError::Shortage(error.into()),
            false => UpstreamError::Dns(error.into()),
        })?;
        let addresses: Vec<_> =
            addresses.into_iter().map(|address| SocketAddr::new(address, endpoint.port)).collect();
        let connected = timeout_at(deadline, tcp::connect(&addresses, self.timeout)).await;
        let connected = connected.map_err(|_| UpstreamError::ConnectTimeout(ConnectStage::Tcp))?;
        connected.map_err(|error| match error.is_shortage() {
            true => UpstreamError::Shortage(error.into()),
            false => UpstreamError::Refused(error.into()),
        })
    }

    /// Opens a tunnel to the origin through the proxy at the other end of `stream`.
    async fn tunnel<S>(&self, stream: S, proxy: &ForwardProxy, deadline: Instant) -> Result<S, ProxyCause>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let destination = format!("{}:{}", self.origin.host, self.origin.port);
        let opening = tunnel::open(stream, &destination, proxy.authorization());
        timeout_at(deadline, opening).await.unwrap_or_else(|_| {
            let error = UpstreamError::ConnectTimeout(ConnectStage::Tunnel);
            Err(ProxyCause::Connection(Box::new(error)))
        })
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, TrustError> {
    let host = host.trim_matches(['[', ']']).to_owned();
    ServerName::try_from(host.clone()).map_err(|_| TrustError::Name(host))
}

async fn tls_handshake<S>(
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
    stream: S,
    deadline: Instant,
) -> Result<TlsSession<S>, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // rustls reads 4 KiB at a time. Reading 64 KiB took a quarter less CPU for a GET of 1 MB over HTTP/1.1, but a
    // quarter more over HTTP/2.
    let handshake = async {
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream);
        match connecting.await {
            Ok(stream) => Ok(TlsSession::new(stream, tls::client_certificate_requested())),
            Err(error) => {
                let asked = tls::client_certificate_requested();
                Err(UpstreamError::Tls(TlsFault::of_handshake(error, asked)))
            }
        }
    };
    let agreed = timeout_at(deadline, tls::handshake(handshake)).await;
    agreed.unwrap_or(Err(UpstreamError::ConnectTimeout(ConnectStage::Tls)))
}
