//! TLS towards upstreams: the trusted certificates, and whether the upstream requests one of the client.

use std::{cell::Cell, error::Error, fmt, future::Future, io, path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore, SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};

use crate::tls::roots::Roots;

/// The trusted certificates, for upstreams and for forward proxies.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(super) upstream: Arc<ClientConfig>,
    /// Offers HTTP/1.1 only, in which CONNECT is sent.
    pub(super) proxy: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
}

/// Two values are equal when they trust the same certificates.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots
    }
}

/// Trusted roots that cannot be used.
#[derive(Debug)]
pub enum TrustError {
    /// A file cannot be read, or holds no certificate.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// There is no trusted root.
    NoRoots,
    /// The host is neither a DNS name nor an address, so that no certificate can name it.
    Name(String),
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "{} cannot be used as trusted roots", path.display()),
            Self::NoRoots => f.write_str(
                "no trusted root certificates were found; install the system's, or name a PEM file with ca-file or \
                 SSL_CERT_FILE",
            ),
            Self::Name(host) => write!(f, "no certificate can name the host {host}"),
        }
    }
}

impl Error for TrustError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::NoRoots | Self::Name(_) => None,
        }
    }
}

impl Trust {
    /// The system's roots and those of `ca_files`.
    ///
    /// # Errors
    /// When a file cannot be used, or when there is no root.
    pub(crate) fn load(ca_files: &[PathBuf]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for path in ca_files {
            let file = Roots::read(path).map_err(|source| TrustError::File { path: path.clone(), source })?;
            roots.extend(file.store.roots);
        }
        if roots.is_empty() {
            return Err(TrustError::NoRoots);
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring serves TLS 1.2 and 1.3")
            .with_root_certificates(Arc::clone(&roots))
            .with_client_cert_resolver(Arc::new(NoClientCertificate));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let proxy = Arc::new(config.clone());
        // h2 first, for servers that follow the order of the client.
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { upstream: Arc::new(config), proxy, roots })
    }

    /// The same trust, for upstreams that want HTTP/1.1 only.
    pub(super) fn http1_only(&self) -> Self {
        Self { upstream: Arc::clone(&self.proxy), ..self.clone() }
    }
}

/// Runs a handshake, in which [`client_certificate_requested`] works.
pub(super) async fn handshake<T>(handshake: impl Future<Output = T>) -> T {
    CLIENT_CERTIFICATE_REQUESTED.scope(Cell::new(false), handshake).await
}

/// Whether the peer of the current [`handshake`] has requested a client certificate.
pub(super) fn client_certificate_requested() -> bool {
    CLIENT_CERTIFICATE_REQUESTED.with(Cell::get)
}

tokio::task_local! {
    /// Set by [`NoClientCertificate`], which rustls shares between all handshakes of a configuration.
    static CLIENT_CERTIFICATE_REQUESTED: Cell<bool>;
}

/// Offers no client certificate, and records that one was requested: TLS 1.2 servers then end the handshake with alerts
/// that do not say why.
#[derive(Debug)]
struct NoClientCertificate;

impl ResolvesClientCert for NoClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Fails outside a handshake of this module, where nothing reads it.
        let _ = CLIENT_CERTIFICATE_REQUESTED.try_with(|requested| requested.set(true));
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
