//! TLS in front of an API: HTTP/1.1 or HTTP/2, as ALPN agrees.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ConfigBuilder, ServerConfig, SupportedProtocolVersion, WantsVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A certificate authority of a test's own, with a certificate for 127.0.0.1.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    config: ServerConfig,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a file");

        let config = signed(&authority, &names(&["127.0.0.1", "localhost"]));
        Self { folder, issuer: authority, config }
    }

    /// The configuration of a server whose certificate is as `params` say.
    pub(crate) fn server(&self, params: &CertificateParams) -> ServerConfig {
        signed(&self.issuer, params)
    }

    /// The PEM file that makes the authority trusted.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Ends TLS in the name of 127.0.0.1.
    pub(crate) fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let mut config = self.config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A certificate for these names and addresses.
pub(crate) fn names(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names")
}

fn signed(issuer: &CertifiedIssuer<'static, KeyPair>, params: &CertificateParams) -> ServerConfig {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    server(certificate.der().clone(), &key)
}

/// The configuration of a server with this certificate.
pub(crate) fn server(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    of_server(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a matching key")
}

/// Begins the configuration of a server that speaks these versions.
pub(crate) fn of_server(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions")
}

/// Ends TLS as `config` says and answers the first request of each connection with 200 and "fine".
pub(crate) async fn fine_over_tls(config: ServerConfig) -> (SocketAddr, JoinSet<()>) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            open.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfine";
                // A client that has gone away is for the test to notice.
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, accepting)
}

/// A listener that ends TLS and hands requests to a plain HTTP/1.1 API, under the authority they name.
pub(crate) struct TlsUpstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    leave: watch::Sender<usize>,
    deaf: Arc<AtomicUsize>,
    together: watch::Sender<usize>,
    _accepting: JoinSet<()>,
}

impl TlsUpstream {
    /// Speaks the first of `protocols` that the client offers, `h2` or `http/1.1`.
    pub(crate) async fn start(authority: &Authority, protocols: &[&str], api: &str) -> Self {
        let api: Uri = api.parse().expect("a URL");
        let acceptor = authority.acceptor(protocols);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (leave, leaving) = watch::channel(0);
        let connections = Arc::new(AtomicUsize::new(0));
        let bridge = Bridge {
            api: api.authority().expect("an authority").to_string(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            requests: Arc::default(),
            together: watch::Sender::new(1),
        };
        let (counted, requests) = (connections.clone(), bridge.requests.clone());
        let together = bridge.together.clone();
        let deaf = Arc::new(AtomicUsize::new(0));
        let still_deaf = deaf.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let (mut open, mut unheard) = (JoinSet::new(), Vec::new());
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                if still_deaf.load(Ordering::SeqCst) > 0 {
                    still_deaf.fetch_sub(1, Ordering::SeqCst);
                    unheard.push(stream);
                    continue;
                }
                open.spawn(serve(acceptor.clone(), stream, bridge.clone(), leaving.clone()));
            }
        });
        Self { address, connections, requests, leave, deaf, together, _accepting: accepting }
    }

    /// Takes the next so many connections and never says a word on them.
    pub(crate) fn ignore(&self, connections: usize) {
        self.deaf.store(connections, Ordering::SeqCst);
    }

    /// Passes requests on in groups of so many, each when it is complete.
    pub(crate) fn answer_together(&self, requests: usize) {
        self.together.send_replace(requests);
    }

    /// The base URL, with the stage of the sandbox's API.
    pub(crate) fn url(&self) -> String {
        format!("https://{}/prod", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Ends the connections that are open, by GOAWAY in HTTP/2.
    pub(crate) fn go_away(&self) {
        self.leave.send_modify(|times| *times += 1);
    }
}

#[derive(Clone)]
struct Bridge {
    api: String,
    client: Client<HttpConnector, Incoming>,
    requests: Arc<AtomicUsize>,
    /// How many requests are passed on together; told anew at each that arrives.
    together: watch::Sender<usize>,
}

impl Bridge {
    async fn pass_on(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<BoxBody<Bytes, hyper::Error>>, hyper_util::client::legacy::Error> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        self.together.send_modify(|_| {});
        let is_complete =
            |group: &usize| self.requests.load(Ordering::SeqCst) >= (number / group + 1) * group;
        self.together.subscribe().wait_for(is_complete).await.expect("the sender is here");
        let authority = request.uri().authority().map(ToString::to_string);
        if let Some(authority) = authority {
            let host = HeaderValue::try_from(authority).expect("an authority");
            request.headers_mut().insert(header::HOST, host);
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("http://{}{path}", self.api).parse().expect("a URL");
        *request.version_mut() = http::Version::HTTP_11;
        let mut response = self.client.request(request).await?;
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        Ok(response.map(BodyExt::boxed))
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    bridge: Bridge,
    mut leaving: watch::Receiver<usize>,
) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| {
        let bridge = bridge.clone();
        async move { bridge.pass_on(request).await }
    });
    leaving.mark_unchanged();
    if two {
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => {}
            _ = leaving.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    } else {
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => {}
            _ = leaving.changed() => {}
        }
    }
}
