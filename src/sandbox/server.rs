//! A listener on 127.0.0.1 that can be stopped and started again on the same port.

use std::{
    error::Error,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderValue, Request, Response, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Service, answer::Body, paced::Hangup};
use crate::clock::Clock;

pub(super) type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Hangup>> + Send>>;

/// What a listener does with a request; `Err` closes the connection without an answer.
pub(super) type Handler = Arc<dyn Fn(Request<Incoming>, SocketAddr) -> ResponseFuture + Send + Sync>;

/// What goes on with a connection after its 101.
type Session = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A session in the extensions of a 101, which are shared: it can be taken once.
#[derive(Clone)]
pub(super) struct AfterUpgrade(Arc<Mutex<Option<Session>>>);

impl AfterUpgrade {
    pub(super) fn new(session: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(session)))))
    }

    fn take(&self) -> Option<Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

pub(super) struct Server {
    address: SocketAddr,
    handler: Handler,
    clock: Clock,
    /// The accept loop, which owns its connections; empty while stopped.
    accepting: Mutex<JoinSet<()>>,
}

/// Another program listens on the port of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortTaken {
    /// The service.
    pub service: Service,
    /// The port on 127.0.0.1.
    pub port: u16,
}

impl fmt::Display for PortTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot listen on 127.0.0.1:{} for the sandbox's {}",
            self.port,
            self.service.name().replace('-', " ")
        )
    }
}

impl Error for PortTaken {}

impl Server {
    /// Binds and serves. Every answer gets its `Date` from `clock`.
    pub(super) async fn start(
        service: Service,
        port: u16,
        clock: Clock,
        handler: Handler,
    ) -> io::Result<Self> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = bound.map_err(|error| match error.kind() {
            kind @ io::ErrorKind::AddrInUse => io::Error::new(kind, PortTaken { service, port }),
            _ => error,
        })?;
        let server = Self { address: listener.local_addr()?, handler, clock, accepting: Mutex::default() };
        server.accept(listener);
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes the listener and every connection.
    pub(super) async fn stop(&self) {
        let mut accepting = std::mem::take(&mut *self.lock());
        accepting.shutdown().await;
    }

    /// Listens again on the port that it had; does nothing if it was not stopped.
    pub(super) async fn restart(&self) -> io::Result<()> {
        if self.lock().is_empty() {
            self.accept(TcpListener::bind(self.address).await?);
        }
        Ok(())
    }

    fn accept(&self, listener: TcpListener) {
        self.lock().spawn(accept(listener, self.handler.clone(), self.clock.clone()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, handler: Handler, clock: Clock) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, peer)) = accepted {
                    connections.spawn(serve(stream, peer, handler.clone(), clock.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, handler: Handler, clock: Clock) {
    // Without TCP_NODELAY, Nagle's algorithm holds a small event back until the one before it is acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "sandbox connection without nodelay");
    }
    let upgraded = Mutex::default();
    let service = service_fn(|request| {
        let response = handler(request, peer);
        let (clock, upgraded) = (&clock, &upgraded);
        async move {
            let mut response = response.await?;
            response.headers_mut().insert(header::DATE, date(clock));
            if let Some(session) = response.extensions_mut().remove::<AfterUpgrade>() {
                *upgraded.lock().unwrap_or_else(PoisonError::into_inner) = session.take();
            }
            Ok::<_, Hangup>(response)
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "sandbox connection ended");
    }
    // In this task, so that stopping the server ends the session, too.
    let session = upgraded.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(session) = session {
        session.await;
    }
}

fn date(clock: &Clock) -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(clock.now())).expect("an HTTP date is ASCII")
}
