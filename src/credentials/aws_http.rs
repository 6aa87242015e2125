//! The HTTP stack towards Cognito and STS: one for the SDK and for the calls of our own.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
        http_client_fn,
    },
    orchestrator::HttpRequest,
};

use crate::{clock::Clock, roots::Roots};

const CONNECT: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(10);

/// Builds the connector: system roots and those of `ca_files`, `HTTPS_PROXY` and `NO_PROXY` honoured, and
/// `clock` set by the `Date` of every answer.
///
/// # Errors
/// When a file of `ca_files` cannot be read or holds no certificate.
pub fn connector(ca_files: &[PathBuf], clock: Clock) -> Result<SharedHttpConnector, TrustError> {
    Ok(SharedHttpConnector::new(Observing { inner: unobserved(ca_files)?, clock }))
}

/// The same connector for services that are not AWS's, whose `Date` says nothing about AWS's time.
///
/// # Errors
/// As [`connector`].
pub(crate) fn unobserved(ca_files: &[PathBuf]) -> Result<SharedHttpConnector, TrustError> {
    let mut roots = TrustStore::default();
    for path in ca_files {
        let file = Roots::read(path).map_err(|source| TrustError { path: path.clone(), source })?;
        roots = roots.with_pem_certificate(file.pem);
    }
    let proxies = ProxyConfig::from_env();
    Ok(SharedHttpConnector::new(Unhurried(LazyLock::new(Box::new(move || build(roots, proxies))))))
}

fn build(roots: TrustStore, proxies: ProxyConfig) -> SharedHttpConnector {
    let tls =
        TlsContext::builder().with_trust_store(roots).build().expect("a trust store alone is a context");
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(READ).build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .proxy_config(proxies)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build();
    SharedHttpConnector::new(connector)
}

/// The same connector as the SDK's clients take it.
#[must_use]
pub fn client(connector: SharedHttpConnector) -> SharedHttpClient {
    http_client_fn(move |_, _| connector.clone())
}

/// Reads the system's roots at the first call: milliseconds and memory that a proxy does not need whose credentials come
/// from elsewhere.
#[derive(Debug)]
struct Unhurried(LazyLock<SharedHttpConnector, Box<dyn FnOnce() -> SharedHttpConnector + Send>>);

impl HttpConnector for Unhurried {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.call(request)
    }
}

/// Learns the clock's offset on the way.
#[derive(Debug)]
struct Observing<C> {
    inner: C,
    clock: Clock,
}

impl<C: HttpConnector> HttpConnector for Observing<C> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let clock = self.clock.clone();
        let sent = clock.local();
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let response = answer.await?;
            let headers = response.headers();
            if let (Some(date), None) = (headers.get("date"), headers.get("age"))
                && let Ok(date) = httpdate::parse_http_date(date)
            {
                clock.observe(date, sent);
            }
            Ok(response)
        })
    }
}

/// A file of trusted roots that cannot be used.
#[derive(Debug)]
pub struct TrustError {
    path: PathBuf,
    source: io::Error,
}

impl TrustError {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used as trusted roots", self.path.display())
    }
}

impl Error for TrustError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
