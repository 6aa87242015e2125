//! The HTTP client towards the collector: the stack that reaches AWS, on a runtime of the export's thread.

use std::{future::ready, pin::Pin, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tokio::{
    runtime::{self, Runtime},
    task::yield_now,
    time::timeout,
};
use tracing::warn;

use super::StartError;
use crate::{aws_http, telemetry};

/// What a collector has to say fits into this many bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Posts batches, one at a time, in the thread that calls.
#[derive(Debug)]
pub(super) struct Collector {
    connector: SharedHttpConnector,
    runtime: Runtime,
    timeout: Duration,
    /// Scheme, host and port, for the log.
    name: String,
}

impl Collector {
    pub(super) fn new(
        endpoint: &Uri,
        http: &aws_http::Settings,
        timeout: Duration,
    ) -> Result<Self, StartError> {
        let connector = aws_http::unobserved(http).map_err(StartError::Trust)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        let scheme = endpoint.scheme_str().unwrap_or_default();
        let authority = endpoint.authority().map(ToString::to_string).unwrap_or_default();
        Ok(Self {
            connector,
            runtime: runtime.map_err(StartError::System)?,
            timeout,
            name: format!("{scheme}://{authority}"),
        })
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.runtime.block_on(async {
            // Connections rest between batches, with nobody to look after them: first they learn what has become of
            // them, so that no batch goes into one that the collector has closed.
            yield_now().await;
            timeout(self.timeout, self.exchange(request)).await.map_err(HttpError::from).flatten()
        });
        match &answer {
            Ok(answer) => self.report(answer),
            Err(error) => {
                let (collector, cause) = (&self.name, telemetry::causes(error.as_ref()));
                warn!(collector, %error, cause, "spans did not reach the collector");
            }
        }
        answer
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = HttpRequest::try_from(request.map(SdkBody::from))?;
        let response = self.connector.call(request).await?.try_into_http1x()?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// Says so when the collector has refused spans; a whole batch, or some of it.
    fn report(&self, answer: &Response<Bytes>) {
        let (collector, status) = (&self.name, answer.status().as_u16());
        if !answer.status().is_success() {
            warn!(collector, status, "the collector refused spans");
        } else if let Ok(ExportTraceServiceResponse { partial_success: Some(partial) }) =
            ExportTraceServiceResponse::decode(answer.body().clone())
            && partial.rejected_spans > 0
        {
            warn!(
                collector,
                spans = partial.rejected_spans,
                reason = partial.error_message,
                "the collector refused spans"
            );
        }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
    {
        // The SDK's thread does nothing else.
        Box::pin(ready(self.post(request)))
    }
}
