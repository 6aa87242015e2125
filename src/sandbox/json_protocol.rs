//! Reading requests of AWS's JSON 1.1 protocol: the operation is in `X-Amz-Target`.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

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

/// The members of a request. A null counts as absent, as at AWS: clients send it for what they leave out.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AwsError> {
    let malformed = |error: serde_json::Error| AwsError::new("SerializationException", error.to_string());
    let mut request: Value = serde_json::from_slice(body).map_err(malformed)?;
    remove_nulls(&mut request);
    serde_json::from_value(request).map_err(malformed)
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(super) fn unknown_operation() -> AwsError {
    AwsError::new("UnknownOperationException", "")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Members {
        username: String,
        #[serde(default)]
        validation_data: Vec<Members>,
    }

    #[test]
    fn a_null_counts_as_absent() {
        let parsed: Members = parse(br#"{"Username":"a","ValidationData":null}"#).expect("a request");
        assert!(parsed.validation_data.is_empty());
        let nested = br#"{"Username":"a","ValidationData":[{"Username":"b","ValidationData":null}]}"#;
        let parsed: Members = parse(nested).expect("a request");
        assert_eq!(parsed.validation_data[0].username, "b");
        let refused = parse::<Members>(br#"{"Username":null}"#).expect_err("a member that is required");
        assert!(format!("{refused:?}").contains("missing field"), "{refused:?}");
    }
}
