//! What a gateway answers for other reasons than the signature: routes, keys, quotas, limits and failed integrations.

mod forbidden;

use super::{Evidence, Meaning, answer::AnsweredBy, front, words::shown};

const EXECUTION_LOG: &str =
    "look at the API's execution log in CloudWatch and at the log of the function or server behind it";

/// Refusals and failures of the gateway itself.
pub(super) fn refused(evidence: &Evidence<'_>) -> Option<Meaning> {
    let meaning = no_such_route(evidence)
        .or_else(|| other_authorizer(evidence))
        .or_else(|| api_key(evidence))
        .or_else(|| throttled(evidence))
        .or_else(|| malformed_request(evidence))
        .or_else(|| failed(evidence))
        .or_else(|| forbidden::meaning(evidence))?;
    // An HTTP API numbers the answers of its integrations as well, and gives its own no type.
    if evidence.head.answered_by() == AnsweredBy::HttpApi && !evidence.words.has_type() {
        let cause = format!("{}; or the application answers with the words of the gateway", meaning.cause);
        return Some(Meaning { cause, ..meaning });
    }
    Some(meaning)
}

impl Evidence<'_> {
    /// Whether the answer says `text` as gateways do, and nothing else. An application behind a REST API may say the same
    /// without an error type; behind an HTTP API its answers look like the gateway's.
    fn says_as_gateway(&self, text: &str) -> bool {
        let is_gateways = self.words.has_type()
            || matches!(self.head.answered_by(), AnsweredBy::HttpApi | AnsweredBy::Saved);
        is_gateways && self.words.says_only(text)
    }
}

fn no_such_route(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, request } = evidence;
    let route = format!("{} {}", request.method, request.path);
    if words.says("missing authentication token") || words.typed(&["MissingAuthenticationTokenException"]) {
        return Some(Meaning::new(
            "no-such-route",
            format!(
                "the stage has no route {route}, of which the gateway says \"Missing Authentication Token\""
            ),
            "compare upstream and the path with the invoke URL of the stage, and deploy the API if the route is new; if the \
             route is there, something on the way removes Authorization",
        ));
    }
    if words.typed(&["UnknownOperationException"]) || words.says("unable to determine service/operation name")
    {
        return Some(Meaning::new(
            "no-such-route",
            format!("the service has no operation at {route}"),
            "compare upstream, the method and the path with the reference of the service",
        ));
    }
    (head.is(404) && evidence.says_as_gateway("not found")).then(|| {
        Meaning::new(
            "no-such-route",
            format!("the HTTP API has no route {route}"),
            "compare upstream and the path with the routes of the API and with the stage in its invoke URL",
        )
    })
}

fn other_authorizer(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    let is_refused = words.typed(&["UnauthorizedException"]) || evidence.says_as_gateway("unauthorized");
    // AppSync uses the same type for a role without permission.
    (head.is(401) && is_refused && evidence.request.scope.service == "execute-api").then(|| {
        Meaning::new(
            "other-authorizer",
            "the route does not use AWS_IAM: its Cognito, JWT or Lambda authorizer found no token that it accepts, since \
             the proxy replaces Authorization by the signature",
            "set the authorization of the route to AWS_IAM, or call this route without the proxy, with the token that its \
             authorizer expects",
        )
    })
}

fn api_key(evidence: &Evidence<'_>) -> Option<Meaning> {
    evidence.words.says("invalid api key").then(|| {
        let cause = "the API key that was sent is not known";
        Meaning::new("api-key", cause, forbidden::KEY_THAT_WAS_SENT)
    })
}

fn throttled(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    let is_limit = head.is(429) || head.is(503) || head.is(400);
    if head.is(429) && (words.typed(&["LimitExceededException"]) || words.says_only("limit exceeded")) {
        return Some(Meaning::new(
            "quota-exceeded",
            "the API key has used up the quota of its usage plan",
            "wait for the next period of the quota, or raise the quota of the usage plan",
        ));
    }
    let is_throttled =
        words.typed(&["TooManyRequestsException", "ThrottlingException", "Throttling", "SlowDown"])
            || head.is(429) && (words.says_only("too many requests") || words.says_only("rate exceeded"));
    (is_limit && is_throttled).then(|| {
        Meaning::new(
            "throttled",
            "requests come faster than the account, the stage, the method or the usage plan allows",
            "send fewer at once and repeat with growing pauses, or raise the rate and burst limits",
        )
    })
}

fn malformed_request(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    let is_typed = |name: &str, text: &str| words.typed(&[name]) || evidence.says_as_gateway(text);
    if head.is(413)
        && (is_typed("RequestTooLargeException", "request too long")
            || words.typed(&["RequestEntityTooLargeException"])
            || evidence.says_as_gateway("request entity too large"))
    {
        return Some(front::body_too_large());
    }
    if head.is(415) && is_typed("UnsupportedMediaTypeException", "unsupported media type") {
        return Some(Meaning::new(
            "unsupported-media-type",
            "the integration of the method has no mapping template for the Content-Type of the request",
            "send the Content-Type that the method expects, application/json usually",
        ));
    }
    if !head.is(400)
        || !words.typed(&["BadRequestException"]) && !evidence.says_as_gateway("invalid request body")
    {
        return None;
    }
    if words.says("invalid request body") {
        return Some(Meaning::new(
            "invalid-body",
            "the request validator of the method found that the body does not match its model",
            "compare the body and its Content-Type with the model of the method",
        ));
    }
    if words.says("missing required request parameters") {
        let names = words.message().split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let names = names.map_or("some", |(names, _)| names);
        return Some(Meaning::new(
            "missing-parameters",
            format!("the request validator of the method misses parameters: {names}"),
            "send these as path, query or header parameters, as the method defines them",
        ));
    }
    let said = shown(words.message());
    Some(Meaning::new(
        "invalid-request",
        format!("the gateway finds the request malformed: {said}"),
        "correct the request as the message says",
    ))
}

fn failed(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    if head.is(504)
        && (words.says("endpoint request timed out") || evidence.says_as_gateway("gateway timeout"))
        || head.is(503) && evidence.says_as_gateway("service unavailable")
    {
        return Some(Meaning::new(
            "integration-timeout",
            if head.is(504) {
                "the function or server behind the gateway did not answer within the integration timeout: 29 s for a REST \
                 API unless it is raised, 30 s for an HTTP API"
            } else {
                "the function or server behind the HTTP API did not answer within 30 s, or could not be reached"
            },
            "make the work shorter or asynchronous, or raise the integration timeout of a regional REST API",
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
    let is_malformed = words.says("malformed lambda proxy response")
        || head.is(502) && (words.says_only("internal server error") || words.says_only("bad gateway"));
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
            "the gateway could not call the integration or use its answer: the function failed, the gateway may not invoke \
             it, or a mapping template is wrong",
            EXECUTION_LOG,
        )
    })
}
