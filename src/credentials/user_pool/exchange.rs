//! One HTTP exchange with Cognito: a POST with a deadline and a limited response.
//!
//! It does not retry, since only the meaning of the response says whether that makes sense.

use std::{error::Error, fmt, time::Duration};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{HttpConnector, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::Headers,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use tokio::time::timeout;

use crate::clock::Clock;

/// How long one exchange may take, up to the last byte of the response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest response, in bytes. Tokens with all claims that a trigger may add stay far below.
const MAX_RESPONSE: usize = 1024 * 1024;

const USER_AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// Sends requests over the connector of the AWS SDK's clients.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    connector: SharedHttpConnector,
    clock: Clock,
}

/// A complete response.
pub(super) struct CognitoResponse {
    pub(super) status: u16,
    pub(super) error_type: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug)]
pub enum ExchangeError {
    /// The endpoint's URL or a header value cannot be sent.
    Unsendable(BoxError),
    /// The connection could not be made, or broke.
    Unreachable(BoxError),
    /// There was no complete response within ten seconds.
    TimedOut,
    /// The body exceeds a mebibyte.
    TooLarge,
}

impl Exchange {
    pub(super) fn new(connector: SharedHttpConnector, clock: Clock) -> Self {
        Self { connector, clock }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<CognitoResponse, ExchangeError> {
        let request = request(url, headers, body).map_err(ExchangeError::Unsendable)?;
        timeout(TIMEOUT, self.send(request)).await.unwrap_or(Err(ExchangeError::TimedOut))
    }

    async fn send(&self, request: HttpRequest) -> Result<CognitoResponse, ExchangeError> {
        let response = self.connector.call(request).await.map_err(|error| match error.is_timeout() {
            true => ExchangeError::TimedOut,
            false => ExchangeError::Unreachable(error.into()),
        })?;
        self.read(response).await
    }

    async fn read(&self, response: HttpResponse) -> Result<CognitoResponse, ExchangeError> {
        let status = response.status().as_u16();
        let error_type = response.headers().get("x-amzn-errortype").map(str::to_owned);
        let retry_after = self.retry_after(response.headers());
        let mut stream = ByteStream::new(response.into_body());
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| ExchangeError::Unreachable(error.into()))?;
            if body.len() + chunk.len() > MAX_RESPONSE {
                return Err(ExchangeError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(CognitoResponse { status, error_type, retry_after, body })
    }

    /// `Retry-After`, in seconds or as a date.
    fn retry_after(&self, headers: &Headers) -> Option<Duration> {
        let text = headers.get("retry-after")?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        httpdate::parse_http_date(text).ok()?.duration_since(self.clock.now()).ok()
    }
}

fn request(url: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri(url)?;
    request.headers_mut().try_insert("user-agent", USER_AGENT)?;
    for (name, value) in headers {
        request.headers_mut().try_insert(*name, (*value).to_owned())?;
    }
    Ok(request)
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsendable(_) => "the request cannot be sent",
            Self::Unreachable(_) => "cannot be reached",
            Self::TimedOut => "did not answer within 10 seconds",
            Self::TooLarge => "answered with more than 1 MiB",
        })
    }
}

impl Error for ExchangeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsendable(source) | Self::Unreachable(source) => Some(source.as_ref()),
            Self::TimedOut | Self::TooLarge => None,
        }
    }
}
