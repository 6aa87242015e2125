//! A forward proxy that a test looks into.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use countersign::forward_proxy::{Exception, ForwardProxies, ForwardProxy as Settings};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What a proxy does when it is asked for a tunnel.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    /// Leads to this address, whatever was asked for.
    Tunnel(SocketAddr),
    /// Writes this and closes the connection.
    Say(&'static str),
    /// Reads on and says nothing.
    Nothing,
}

/// A forward proxy on a free port.
pub(crate) struct ForwardProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _accepting: JoinSet<()>,
}

impl ForwardProxy {
    /// Speaks TLS to its clients where there is an `acceptor`.
    pub(crate) async fn start(does: Does, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut accepting) = (Arc::clone(&heads), JoinSet::new());
        accepting.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, acceptor) = (Arc::clone(&seen), acceptor.clone());
                open.spawn(async move {
                    match acceptor {
                        None => serve(stream, does, &seen).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => serve(stream, does, &seen).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, heads, _accepting: accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Settings that lead everything but `exceptions` through a proxy on this port of `proxy.test`.
pub(crate) fn through(secure: bool, port: u16, exceptions: Vec<Exception>) -> ForwardProxies {
    at(secure, "proxy.test", port, exceptions)
}

/// The same for a proxy on a host that can be looked up.
pub(crate) fn at(secure: bool, host: &str, port: u16, exceptions: Vec<Exception>) -> ForwardProxies {
    let user_info = Some("me:p%40w".to_owned().into());
    let (variable, host) = ("HTTPS_PROXY", host.to_owned());
    ForwardProxies::new(Settings { variable, secure, host, port, user_info }, exceptions)
}

async fn serve<S>(mut stream: S, does: Does, seen: &Mutex<Vec<String>>) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8_lossy(&head).into_owned());
    match does {
        Does::Tunnel(to) => {
            let mut upstream = TcpStream::connect(to).await.ok()?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
            copy_bidirectional(&mut stream, &mut upstream).await.ok()?;
        }
        Does::Say(text) => stream.write_all(text.as_bytes()).await.ok()?,
        Does::Nothing => while stream.read_u8().await.is_ok() {},
    }
    Some(())
}
