//! The certificates that upstreams are trusted by: the system's roots and further files.

use std::{error::Error, fmt, io, path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore};

use crate::roots::Roots;

/// The certificates that upstreams are trusted by.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    config: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
}

/// Two that trust the same certificates are equal.
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
    /// There is not one trusted root.
    NoRoots,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "{} cannot be used as trusted roots", path.display()),
            Self::NoRoots => f.write_str(
                "no trusted root certificates were found; install the system's, or name a PEM file with ca-file or \
                 SSL_CERT_FILE",
            ),
        }
    }
}

impl Error for TrustError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::NoRoots => None,
        }
    }
}

impl Trust {
    /// The system's roots and those of `ca_files`.
    ///
    /// # Errors
    /// When a file cannot be used, or when there is no root at all.
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
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), roots })
    }

    /// TLS with this trust.
    pub(super) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The same trust, for connections that agree on HTTP/1.1 only.
    pub(super) fn http1_only(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config: Arc::new(config), roots: Arc::clone(&self.roots) }
    }
}
