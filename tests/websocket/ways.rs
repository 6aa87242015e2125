//! The ways to an upstream: TLS, and a forward proxy.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use countersign::proxy::Resolver;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    Setup,
    forward_proxy::{Does, ForwardProxy, through},
    soon,
    tls::{Authority, names},
    websocket::{open, switching},
};

/// Ends TLS, agrees to the first handshake of each connection, and sends everything back; the protocol of each
/// connection.
async fn echo_over_tls(
    acceptor: TlsAcceptor,
) -> (SocketAddr, mpsc::UnboundedReceiver<Option<Vec<u8>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (tx, rx) = mpsc::unbounded_channel();
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, tx) = (acceptor.clone(), tx.clone());
            open.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                tx.send(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)).expect("heard");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                stream.write_all(switching("").as_bytes()).await.expect("an open connection");
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    (address, rx, accepting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_http_1_1_is_offered_over_tls() {
    let authority = Authority::new();
    let (address, mut protocols, _accepting) = echo_over_tls(authority.acceptor(&["h2", "http/1.1"])).await;
    let running = Setup::new().upstream(format!("https://{address}")).trusting(&authority).start().await;
    let (mut client, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.status, 101);
    assert_eq!(soon("a connection", protocols.recv()).await, Some(Some(b"http/1.1".to_vec())));
    let sent = vec![7; 1 << 20];
    let mut received = Vec::new();
    for part in sent.chunks(64 << 10) {
        client.write(part).await;
        received.extend(client.exactly(part.len()).await);
    }
    assert!(received == sent);
    client.finish_writing().await;
    assert!(client.is_closed().await, "the end passes through TLS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_goes_through_a_forward_proxy() {
    let authority = Authority::new();
    let config = authority.server(&names(&["api.test"]));
    let (address, _protocols, _accepting) =
        echo_over_tls(TlsAcceptor::from(std::sync::Arc::new(config))).await;
    let forward = ForwardProxy::start(Does::Tunnel(address), None).await;
    let port = forward.port();
    let running = Setup::new()
        .upstream("https://api.test/prod")
        .trusting(&authority)
        .proxy(move |settings| {
            settings.proxy.forward_proxies = through(false, port, Vec::new());
            settings.proxy.resolver = Resolver::new(|name| match name {
                "proxy.test" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
                other => Err(io::Error::other(format!("{other} was looked up"))),
            });
        })
        .start()
        .await;
    let (mut client, head) = open(&running.proxy, "/", "").await;
    assert_eq!(head.status, 101);
    client.write("through it").await;
    assert_eq!(client.exactly(10).await, b"through it");
    assert!(forward.heads()[0].starts_with("CONNECT api.test:443 HTTP/1.1\r\n"), "{:?}", forward.heads());
}
