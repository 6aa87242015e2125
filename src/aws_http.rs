//! The HTTP connector towards Cognito and STS, which the SDK and the user pool client share.

pub(crate) mod foreign;

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
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
        http_client_fn,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
};

use foreign::is_marked_as_aws;
use http::Uri;
use secrecy::ExposeSecret;

use crate::{
    clock::{self, Clock},
    forward_proxy::{ForwardProxies, ForwardProxy},
    tls::{fault::TlsFault, roots::Roots},
    upstream::Resolver,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach the endpoints of AWS.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// PEM files with more trusted roots.
    pub ca_files: Vec<PathBuf>,
    /// Which endpoints are reached through a forward proxy.
    pub proxies: ForwardProxies,
    /// How names are looked up.
    pub resolver: Resolver,
}

/// Builds the connector, which sets `clock` by the `Date` of AWS's responses.
///
/// The response of a captive portal or a forward proxy does not set it, since its clock may differ from AWS's.
///
/// # Errors
/// When a file of trusted roots cannot be read or holds no certificate.
pub fn connector(settings: &Settings, clock: Clock) -> Result<SharedHttpConnector, TrustError> {
    Ok(observing(unobserved(settings)?, clock))
}

/// Wraps `inner` so that it sets `clock` by the `Date` of AWS's responses.
pub(super) fn observing(inner: SharedHttpConnector, clock: Clock) -> SharedHttpConnector {
    SharedHttpConnector::new(ClockObserver { inner, clock })
}

/// The same connector for other services, whose `Date` says nothing about AWS's time.
///
/// # Errors
/// As [`connector`].
pub(crate) fn unobserved(settings: &Settings) -> Result<SharedHttpConnector, TrustError> {
    let mut roots = TrustStore::default();
    for path in &settings.ca_files {
        let file = Roots::read(path).map_err(|source| TrustError { path: path.clone(), source })?;
        roots = roots.with_pem_certificate(file.pem);
    }
    let lazy = |proxy: ProxyConfig| {
        let (roots, resolver) = (roots.clone(), SharedResolver(settings.resolver.clone()));
        SharedHttpConnector::new(LazyConnector(LazyLock::new(Box::new(move || {
            build(roots, proxy, resolver)
        }))))
    };
    let direct = lazy(ProxyConfig::disabled());
    let Some(proxy) = settings.proxies.proxy() else { return Ok(direct) };
    let url = proxy.url_with_user_info();
    let through_proxy =
        ProxyConfig::https(url.expose_secret()).expect("a forward proxy has a scheme and a host");
    let tunnelled = lazy(through_proxy);
    Ok(SharedHttpConnector::new(RoutedConnector { direct, tunnelled, proxies: settings.proxies.clone() }))
}

fn build(roots: TrustStore, proxy: ProxyConfig, resolver: SharedResolver) -> SharedHttpConnector {
    let tls =
        TlsContext::builder().with_trust_store(roots).build().expect("a trust store alone is a context");
    let settings =
        HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .proxy_config(proxy)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_with_resolver(resolver);
    SharedHttpConnector::new(connector)
}

/// Looks resolver up as on the way to the upstream. The SDK's own lookups run in tokio's pool of blocking threads,
/// where one that hangs takes a thread for each attempt and keeps the runtime from ending.
#[derive(Clone, Debug)]
struct SharedResolver(Resolver);

impl ResolveDns for SharedResolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { self.0.addresses(name).await.map_err(ResolveDnsError::new) })
    }
}

/// The connector as the type that the SDK's clients take.
#[must_use]
pub fn client(connector: SharedHttpConnector) -> SharedHttpClient {
    http_client_fn(move |_, _| connector.clone())
}

/// Builds the connector at the first call, which reads the system's roots: without that, a proxy with credentials from
/// elsewhere gives its first answer after 9 ms instead of 12.
#[derive(Debug)]
struct LazyConnector(LazyLock<SharedHttpConnector, Box<dyn FnOnce() -> SharedHttpConnector + Send>>);

impl HttpConnector for LazyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = request.uri().parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        let answer = self.0.call(request);
        HttpConnectorFuture::new(
            async move { answer.await.map_err(|error| explain_tls_failure(error, host)) },
        )
    }
}

/// Replaces rustls's description of a TLS failure, which is written for programmers.
fn explain_tls_failure(error: ConnectorError, host: Option<String>) -> ConnectorError {
    let Some(fault) = TlsFault::behind(&error) else { return error };
    let failure = Box::new(TlsFailure { host: host.unwrap_or_else(|| "the endpoint".to_owned()), fault });
    if error.is_io() { ConnectorError::io(failure) } else { ConnectorError::other(failure, None) }
}

/// A TLS failure with an endpoint of AWS or with the forward proxy.
#[derive(Debug)]
struct TlsFailure {
    host: String,
    fault: TlsFault,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault.about(&self.host))?;
        self.fault.advice("AWS_CA_BUNDLE").map_or(Ok(()), |advice| write!(f, " ({advice})"))
    }
}

impl Error for TlsFailure {}

/// Chooses for each request between a direct connection and the forward proxy, by the same rules as for the upstream.
#[derive(Debug)]
struct RoutedConnector {
    direct: SharedHttpConnector,
    tunnelled: SharedHttpConnector,
    proxies: ForwardProxies,
}

impl HttpConnector for RoutedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri: Option<Uri> = request.uri().parse().ok();
        let Some(proxy) = uri.and_then(|uri| self.proxies.towards(&uri).cloned()) else {
            return self.direct.call(request);
        };
        let answer = self.tunnelled.call(request);
        HttpConnectorFuture::new(async move { answer.await.map_err(|error| into_proxy_error(error, &proxy)) })
    }
}

/// Adds to an error that it came through the forward proxy. Keeps its kind, on which retries depend.
fn into_proxy_error(error: ConnectorError, proxy: &ForwardProxy) -> ConnectorError {
    let (io, timeout) = (error.is_io(), error.is_timeout());
    let failure = Box::new(ProxyError { address: proxy.address(), variable: proxy.variable, source: error });
    match (io, timeout) {
        (true, _) => ConnectorError::io(failure),
        (_, true) => ConnectorError::timeout(failure),
        _ => ConnectorError::other(failure, None),
    }
}

/// There was no response through a forward proxy.
#[derive(Debug)]
struct ProxyError {
    address: String,
    variable: &'static str,
    source: ConnectorError,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no response through the proxy {} ({})", self.address, self.variable)
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Learns the clock's offset from responses.
#[derive(Debug)]
struct ClockObserver<C> {
    inner: C,
    clock: Clock,
}

impl<C: HttpConnector> HttpConnector for ClockObserver<C> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let clock = self.clock.clone();
        let sent = clock.local();
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let response = answer.await?;
            let headers = response.headers();
            if is_marked_as_aws(headers)
                && let Some(date) = clock::date(|name| headers.get(name))
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_smithy_async::time::StaticTimeSource;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Answers with these headers and the time of an hour from now.
    #[derive(Debug)]
    struct AnHourAhead(&'static [(&'static str, &'static str)]);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    impl HttpConnector for AnHourAhead {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let mut response = HttpResponse::new(403.try_into().expect("a status"), SdkBody::empty());
            response.headers_mut().insert("date", httpdate::fmt_http_date(now() + HOUR));
            for (name, value) in self.0 {
                response.headers_mut().insert(*name, *value);
            }
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    #[tokio::test]
    async fn only_answers_that_are_marked_as_those_of_aws_move_the_clock() {
        let cases: [(&[(&str, &str)], bool); 11] = [
            (&[("x-amzn-requestid", "id"), ("content-type", "application/json")], true),
            (&[("x-amzn-requestid", "id"), ("content-type", "text/xml")], true),
            (&[("x-amz-cognito-request-id", "id"), ("content-type", "application/json")], true),
            (&[("x-amzn-errortype", "NotAuthorizedException:")], true),
            (&[("content-type", "application/x-amz-json-1.1")], true),
            (&[("x-amzn-requestid", "id"), ("age", "3600")], false),
            (&[], false),
            (&[("content-type", "text/html"), ("server", "squid")], false),
            (&[("content-type", "application/json"), ("x-request-id", "id")], false),
            (&[("proxy-authenticate", "Basic"), ("content-type", "text/html")], false),
            (&[("location", "https://portal.example/?to=application/x-amz-json-1.1")], false),
        ];
        for (headers, moves) in cases {
            let clock = Clock::from_source(StaticTimeSource::new(now()));
            let observing = ClockObserver { inner: AnHourAhead(headers), clock: clock.clone() };
            observing.call(HttpRequest::empty()).await.expect("an answer");
            assert_eq!(clock.offset_millis() != 0, moves, "{headers:?}");
        }
    }
}
