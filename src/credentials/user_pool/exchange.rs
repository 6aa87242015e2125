//! One HTTP exchange with Cognito: a POST with a deadline and an answer of bounded size.
//!
//! There are no retries here: whether one makes sense depends on what the answer means.

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

/// From the first byte sent to the last one received.
const DEADLINE: Duration = Duration::from_secs(10);

/// Tokens with every claim a trigger may add stay far below it.
const LARGEST_ANSWER: usize = 1024 * 1024;

const USER_AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// Sends requests over the transport that the AWS SDK's clients use too.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    connector: SharedHttpConnector,
    clock: Clock,
}

/// A complete answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) error_type: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The endpoint's URL or a header value cannot be sent.
    Unsendable(BoxError),
    /// No connection, or it broke.
    Unreachable(BoxError),
    /// Nothing complete within ten seconds.
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
    ) -> Result<Answer, NoAnswer> {
        let request = request(url, headers, body).map_err(NoAnswer::Unsendable)?;
        timeout(DEADLINE, self.send(request)).await.unwrap_or(Err(NoAnswer::TimedOut))
    }

    async fn send(&self, request: HttpRequest) -> Result<Answer, NoAnswer> {
        let response = self.connector.call(request).await.map_err(|error| match error.is_timeout() {
            true => NoAnswer::TimedOut,
            false => NoAnswer::Unreachable(error.into()),
        })?;
        self.read(response).await
    }

    async fn read(&self, response: HttpResponse) -> Result<Answer, NoAnswer> {
        let status = response.status().as_u16();
        let error_type = response.headers().get("x-amzn-errortype").map(str::to_owned);
        let retry_after = self.retry_after(response.headers());
        let mut stream = ByteStream::new(response.into_body());
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| NoAnswer::Unreachable(error.into()))?;
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(NoAnswer::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, error_type, retry_after, body })
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

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsendable(_) => "the request cannot be sent",
            Self::Unreachable(_) => "cannot be reached",
            Self::TimedOut => "did not answer within 10 seconds",
            Self::TooLarge => "answered with more than 1 MiB",
        })
    }
}

impl Error for NoAnswer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsendable(source) | Self::Unreachable(source) => Some(source.as_ref()),
            Self::TimedOut | Self::TooLarge => None,
        }
    }
}
