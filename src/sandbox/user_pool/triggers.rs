//! Calls triggers: posts an event in Lambda's form to a hook, and takes the `response` of the event that comes back.

use std::{collections::BTreeMap, error::Error, fmt, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{
    aws_http,
    sandbox::{
        answer::AwsError,
        trigger_hooks::{TokenEventVersion, Trigger, TriggerHooks},
    },
};

/// How long Cognito waits for a Lambda function.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Lambda's limit for what a function returns.
const MAX_OUTPUT: usize = 6 * 1024 * 1024;
/// How much of an error's text a client gets, in characters.
const MAX_MESSAGE: usize = 1000;

/// ClientMetadata and other maps of text that only triggers read.
pub(super) type Metadata = BTreeMap<String, String>;

/// The hooks of the pool, and the connections to them.
pub(super) struct Triggers {
    hooks: TriggerHooks,
    region: String,
    pool_id: String,
    connector: SharedHttpConnector,
}

/// What distinguishes one call of a trigger from another.
pub(super) struct Event<'a> {
    pub(super) source: &'static str,
    pub(super) username: &'a str,
    /// Absent where an administrator acts.
    pub(super) client_id: Option<&'a str>,
    pub(super) request: Value,
    /// The response to which the hook adds.
    pub(super) response: Value,
}

/// The event that a hook returns, of which only the response counts.
#[derive(Deserialize)]
struct Output {
    // A struct would be read from an array as well.
    response: Map<String, Value>,
}

/// The form in which Lambda's runtimes report that a function has failed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionError {
    error_message: String,
}

/// Why the call of a hook has no response.
#[derive(Debug)]
enum HookError {
    Unreachable(String),
    TimedOut,
    Redirected(StatusCode),
    TooLarge,
    /// The hook's own error.
    Failed(String),
    Unrecognizable(String),
}

impl Triggers {
    pub(super) fn new(hooks: &TriggerHooks, region: &str, pool_id: String) -> Self {
        let connector = aws_http::unobserved(&aws_http::Settings::default());
        Self {
            hooks: hooks.clone(),
            region: region.to_owned(),
            pool_id,
            connector: connector.expect("without files of trusted roots, none is unreadable"),
        }
    }

    pub(super) fn has(&self, trigger: Trigger) -> bool {
        self.hooks.urls.contains_key(&trigger)
    }

    pub(super) fn token_event(&self) -> TokenEventVersion {
        self.hooks.token_event
    }

    /// The response of the trigger's hook; `None` if it has no hook.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        trigger: Trigger,
        event: Event<'_>,
    ) -> Result<Option<T>, AwsError> {
        let Some(url) = self.hooks.urls.get(&trigger) else { return Ok(None) };
        let event = self.event(trigger, &event);
        let output = timeout(TIMEOUT, self.post(url, &event)).await.unwrap_or(Err(HookError::TimedOut));
        output.and_then(|output| response(&output)).map(Some).map_err(|error| {
            // In the message, since the log at a terminal shows no fields.
            tracing::warn!("{trigger}: the hook {url} {error}");
            error.in_words_of_cognito(trigger)
        })
    }

    fn event(&self, trigger: Trigger, event: &Event<'_>) -> Value {
        let is_second = trigger == Trigger::PreTokenGeneration && self.token_event() == TokenEventVersion::V2;
        json!({
            "version": if is_second { "2" } else { "1" },
            "triggerSource": event.source,
            "region": self.region,
            "userPoolId": self.pool_id,
            "userName": event.username,
            "callerContext": {
                "awsSdkVersion": "aws-sdk-unknown-unknown",
                "clientId": event.client_id.unwrap_or("CLIENT_ID_NOT_APPLICABLE"),
            },
            "request": event.request,
            "response": event.response,
        })
    }

    /// Posts the event. The connector follows no redirects.
    async fn post(&self, url: &Uri, event: &Value) -> Result<Response<Vec<u8>>, HookError> {
        let request = Request::post(url)
            .header("content-type", "application/json")
            // A connection that was kept could be closed by the hook while the next event is on its way, which nothing
            // may send twice.
            .header("connection", "close")
            .body(SdkBody::from(event.to_string()))
            .map_err(|error| HookError::Unreachable(root_cause(&error)))?;
        let request =
            HttpRequest::try_from(request).map_err(|error| HookError::Unreachable(root_cause(&error)))?;
        let response = self.connector.call(request).await.map_err(|error| unreachable(&error))?;
        let response =
            response.try_into_http1x().map_err(|error| HookError::Unreachable(root_cause(&error)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_OUTPUT).collect().await.map_err(|error| match error
            .downcast_ref::<LengthLimitError>()
        {
            Some(_) => HookError::TooLarge,
            None => HookError::Unreachable(root_cause(error.as_ref())),
        })?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    }
}

/// The response in what a hook has answered.
fn response<T: DeserializeOwned>(output: &Response<Vec<u8>>) -> Result<T, HookError> {
    let (status, body) = (output.status(), output.body());
    if status.is_redirection() {
        return Err(HookError::Redirected(status));
    }
    // The emulator of Lambda's runtime answers with status 200 when a function has failed.
    if let Ok(FunctionError { error_message }) = serde_json::from_slice(body) {
        return Err(HookError::Failed(error_message.chars().take(MAX_MESSAGE).collect()));
    }
    if !status.is_success() {
        return Err(HookError::Failed(format!("HTTP {status}")));
    }
    let event: Result<Map<String, Value>, _> = serde_json::from_slice(body);
    event
        .and_then(|event| Output::deserialize(Value::Object(event)))
        .and_then(|output| T::deserialize(Value::Object(output.response)))
        .map_err(|error| HookError::Unrecognizable(error.to_string()))
}

impl HookError {
    fn in_words_of_cognito(&self, trigger: Trigger) -> AwsError {
        let unexpected = |message| AwsError::new("UnexpectedLambdaException", message);
        match self {
            Self::Unreachable(cause) => {
                unexpected(format!("{trigger} invocation failed due to error {cause}."))
            }
            Self::TimedOut => unexpected(format!(
                "{trigger} failed with error Socket timeout while invoking Lambda function."
            )),
            Self::Redirected(status) => {
                unexpected(format!("{trigger} invocation failed due to error HTTP {status}."))
            }
            Self::TooLarge => {
                unexpected(format!("{trigger} invocation failed due to error output too large."))
            }
            Self::Failed(message) => AwsError::new(
                "UserLambdaValidationException",
                format!("{trigger} failed with error {message}."),
            ),
            Self::Unrecognizable(_) => unrecognizable(),
        }
    }
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "gave no answer: {cause}"),
            Self::TimedOut => f.write_str("did not answer within 5 seconds"),
            Self::Redirected(status) => write!(f, "answered with HTTP {status}; redirects are not followed"),
            Self::TooLarge => f.write_str("answered with more than 6 MiB"),
            Self::Failed(message) => write!(f, "failed: {message}"),
            Self::Unrecognizable(cause) => {
                write!(f, "did not answer with the event and its response as JSON: {cause}")
            }
        }
    }
}

pub(super) fn unrecognizable() -> AwsError {
    AwsError::new("InvalidLambdaResponseException", "Unrecognizable lambda output")
}

fn unreachable(error: &ConnectorError) -> HookError {
    if error.is_timeout() { HookError::TimedOut } else { HookError::Unreachable(root_cause(error)) }
}

/// The innermost cause, such as `Connection refused`.
fn root_cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<Value, String> {
        let output = Response::builder().status(status).body(body.as_bytes().to_vec()).expect("an answer");
        response::<Value>(&output)
            .map_err(|error| error.in_words_of_cognito(Trigger::PreSignUp))
            .map_err(|error| format!("{}: {}", error.code, error.message))
    }

    #[test]
    fn the_response_of_the_returned_event_counts() {
        let event = r#"{"version":"1","response":{"autoConfirmUser":true}}"#;
        assert_eq!(judged(200, event), Ok(json!({ "autoConfirmUser": true })));
    }

    #[test]
    fn every_other_output_is_an_error_of_cognito() {
        let unrecognizable = "InvalidLambdaResponseException: Unrecognizable lambda output";
        let failed = "UserLambdaValidationException: PreSignUp failed with error";
        let unexpected = "UnexpectedLambdaException: PreSignUp invocation failed due to error";
        for (status, body, error) in [
            (200, "", unrecognizable.to_owned()),
            (200, "null", unrecognizable.to_owned()),
            (200, "{}", unrecognizable.to_owned()),
            (200, r#"[{"autoConfirmUser":true}]"#, unrecognizable.to_owned()),
            (200, r#"{"response":[true]}"#, unrecognizable.to_owned()),
            (200, "<html>", unrecognizable.to_owned()),
            (200, r#"{"errorMessage":"No.","errorType":"Error"}"#, format!("{failed} No..")),
            (500, r#"{"errorMessage":"not here"}"#, format!("{failed} not here.")),
            (500, "<html>", format!("{failed} HTTP 500 Internal Server Error.")),
            (404, r#"{"response":{}}"#, format!("{failed} HTTP 404 Not Found.")),
            (302, r#"{"response":{}}"#, format!("{unexpected} HTTP 302 Found.")),
        ] {
            assert_eq!(judged(status, body), Err(error), "{status} {body}");
        }
    }
}
