//! Reading requests of AWS's JSON 1.1 protocol: the operation is in `X-Amz-Target`.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{answer::AwsError, paced::Hangup};

/// Far larger than any request of Cognito.
const MAX_BODY: usize = 1 << 20;

/// The operation and the body; `None` when no operation is named.
pub(super) async fn read(request: Request<Incoming>) -> Result<Option<(String, Bytes)>, Hangup> {
    let operation = operation(&request);
    let body = read_body(request).await?;
    Ok(operation.map(|operation| (operation, body)))
}

pub(super) fn operation(request: &Request<Incoming>) -> Option<String> {
    let target = request.headers().get("x-amz-target")?.to_str().ok()?;
    target.rsplit_once('.').map(|(_, name)| name.to_owned())
}

pub(super) async fn read_body(request: Request<Incoming>) -> Result<Bytes, Hangup> {
    let limited = Limited::new(request.into_body(), MAX_BODY);
    limited.collect().await.map(http_body_util::Collected::to_bytes).map_err(|_| Hangup)
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body).map_err(|error| AwsError::new("SerializationException", error.to_string()))
}

pub(super) fn unknown_operation() -> AwsError {
    AwsError::new("UnknownOperationException", "")
}
