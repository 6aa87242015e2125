//! Failures behind the gateway: its integration is too slow, cannot be reached, or answers in the wrong form.

use crate::proxy::meaning::{Evidence, Meaning};

const EXECUTION_LOG: &str =
    "look at the API's execution log in CloudWatch and at the log of the function or server behind it";

pub(super) fn meaning(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    if !evidence.is_of_api() {
        return None;
    }
    let says = |text: &str| evidence.says_as_gateway(text);
    if head.is(504) && (words.says("endpoint request timed out") || says("gateway timeout")) {
        return Some(timeout(
            "the function or server behind the gateway did not answer within the integration timeout: 29 s for a REST API \
             unless it is raised, 30 s for an HTTP API",
        ));
    }
    if head.is(503) && says("service unavailable") {
        return Some(timeout(
            "the function or server behind the HTTP API did not answer within 30 s, or could not be reached",
        ));
    }
    if head.is(504) && words.says("network error communicating with endpoint") {
        return Some(Meaning::new(
            "integration-unreachable",
            "the gateway cannot reach the server behind the API",
            "check the endpoint URL of the integration, its VPC link and its certificate",
        ));
    }
    if words.typed(&["AuthorizerConfigurationException", "AuthorizerFailureException"]) {
        return Some(Meaning::new(
            "authorizer-failed",
            "the authorizer of the route failed or gave an answer that is no policy",
            "look at the log of the authorizer, or set the authorization of the route to AWS_IAM",
        ));
    }
    failed(evidence)
}

fn timeout(cause: &str) -> Meaning {
    Meaning::new(
        "integration-timeout",
        cause,
        "make the work shorter or asynchronous, or raise the integration timeout of a regional REST API",
    )
}

fn failed(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    let is_malformed = words.says("malformed lambda proxy response")
        || head.is(502)
            && ["internal server error", "bad gateway"].iter().any(|text| evidence.says_as_gateway(text));
    if is_malformed {
        return Some(Meaning::new(
            "malformed-integration-response",
            "the function behind the gateway failed, or its answer is not in the form of a Lambda proxy integration",
            format!("return an object with statusCode and a body that is a string; {EXECUTION_LOG}"),
        ));
    }
    let is_failure =
        words.typed(&["InternalServerErrorException", "InternalFailure", "ApiConfigurationException"])
            || evidence.says_as_gateway("internal server error");
    (head.is(500) && is_failure).then(|| {
        Meaning::new(
            "integration-failed",
            "the gateway could not call the integration or use its answer: the function failed, the gateway may not \
             invoke it, or a mapping template is wrong",
            EXECUTION_LOG,
        )
    })
}
