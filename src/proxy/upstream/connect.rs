//! A connection to the upstream: name, address, a tunnel where one is configured, TLS.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Uri, Version, uri::Scheme};
use hyper_util::{
    client::{
        legacy::connect::{
            HttpConnector,
            dns::{GaiAddrs, GaiResolver, Name},
            proxy::Tunnel,
        },
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::{Service, ServiceExt};

use super::{
    UpstreamError,
    trust::{Trust, TrustError},
};

/// Connects to one origin.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    origin: Uri,
    scheme: Scheme,
    tls: Option<(Trust, ServerName<'static>)>,
    tunnel: Option<Intercept>,
    tcp: HttpConnector<Resolver>,
}

impl Connector {
    /// A connector to the scheme and authority of `upstream`; `HTTPS_PROXY` and `NO_PROXY` are honoured.
    ///
    /// # Errors
    /// When TLS is needed and `trust` is absent, or the host is no name for TLS.
    pub(crate) fn new(upstream: &Uri, trust: Option<&Trust>) -> Result<Self, TrustError> {
        let scheme = upstream.scheme().cloned().unwrap_or(Scheme::HTTPS);
        let tls = if scheme == Scheme::HTTP {
            None
        } else {
            let trust = trust.ok_or(TrustError::NoRoots)?;
            let host = upstream.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(host).map_err(|_| TrustError::NoRoots)?;
            Some((trust.clone(), name))
        };
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tunnel = Matcher::from_env().intercept(upstream);
        Ok(Self { origin: upstream.clone(), scheme, tls, tunnel, tcp })
    }

    /// Whether `other` connects to the same place by the same way, and trusts the same certificates.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let tunnel = |connector: &Self| {
            let tunnel = connector.tunnel.as_ref()?;
            Some((tunnel.uri().clone(), tunnel.basic_auth().cloned()))
        };
        self.origin.authority() == other.origin.authority()
            && self.scheme == other.scheme
            && self.tls == other.tls
            && tunnel(self) == tunnel(other)
    }

    /// The same, but that it agrees on HTTP/1.1 only.
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

    /// Connects, tunnels and agrees on TLS; the caller sets the deadline.
    pub(super) async fn connect(&self) -> Result<Connection, UpstreamError> {
        let tcp = self.connect_tcp().await?;
        let Some((trust, name)) = &self.tls else { return Ok(Connection::Plain(tcp)) };
        let connector = TlsConnector::from(Arc::clone(trust.config()));
        match connector.connect(name.clone(), tcp).await {
            Ok(stream) => Ok(Connection::Tls(Box::new(stream))),
            Err(error) if is_about_certificate(&error) => Err(UpstreamError::Certificate(error.into())),
            Err(error) => Err(UpstreamError::Tls(error.into())),
        }
    }

    async fn connect_tcp(&self) -> Result<TcpStream, UpstreamError> {
        let tcp = self.tcp.clone();
        match &self.tunnel {
            None => tcp
                .oneshot(self.origin.clone())
                .await
                .map(TokioIo::into_inner)
                .map_err(|error| refused(error.into())),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                let destination = with_port(&self.origin);
                tunnel
                    .oneshot(destination)
                    .await
                    .map(TokioIo::into_inner)
                    .map_err(|error| refused(error.into()))
            }
        }
    }
}

/// CONNECT names the port always.
fn with_port(origin: &Uri) -> Uri {
    let host = origin.host().unwrap_or_default();
    let port = origin.port_u16().unwrap_or(if origin.scheme_str() == Some("http") { 80 } else { 443 });
    format!("https://{host}:{port}/").parse().unwrap_or_else(|_| origin.clone())
}

fn refused(error: Box<dyn Error + Send + Sync>) -> UpstreamError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
    while let Some(level) = cause {
        if level.is::<NameNotFound>() {
            return UpstreamError::Dns(error);
        }
        cause = level.source();
    }
    UpstreamError::Refused(error)
}

fn is_about_certificate(error: &io::Error) -> bool {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(rustls, Some(rustls::Error::InvalidCertificate(_)))
}

/// Names are looked up by the system; a failure is marked, so that it can be told from a refusal.
#[derive(Clone, Debug)]
struct Resolver(GaiResolver);

#[derive(Debug)]
struct NameNotFound(io::Error);

impl fmt::Display for NameNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name could not be resolved")
    }
}

impl Error for NameNotFound {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = NameNotFound;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, NameNotFound>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NameNotFound>> {
        self.0.poll_ready(context).map_err(NameNotFound)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let lookup = self.0.call(name);
        Box::pin(async move { lookup.await.map_err(NameNotFound) })
    }
}

/// A connection to the upstream, before HTTP is spoken on it.
#[derive(Debug)]
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// The version of HTTP that TLS agreed on.
    pub(super) fn version(&self) -> Version {
        match self {
            Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => Version::HTTP_2,
            Self::Tls(_) | Self::Plain(_) => Version::HTTP_11,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, buffer),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
