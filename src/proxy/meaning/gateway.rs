//! What a gateway answers for other reasons than the signature and policies: routes, authorizers, keys and quotas.

mod forbidden;
mod integration;
mod validation;

use super::{Evidence, Meaning, answer::AnsweredBy};

/// Refusals and failures of the gateway itself.
pub(super) fn refused(evidence: &Evidence<'_>) -> Option<Meaning> {
    let meaning = no_such_route(evidence)
        .or_else(|| other_authorizer(evidence))
        .or_else(|| api_key(evidence))
        .or_else(|| throttled(evidence))
        .or_else(|| validation::meaning(evidence))
        .or_else(|| integration::meaning(evidence))
        .or_else(|| forbidden::meaning(evidence))?;
    // An HTTP API numbers the answers of its integrations as well, and gives its own no type.
    if evidence.head.answered_by() == AnsweredBy::HttpApi && !evidence.words.has_type() {
        let cause = format!("{}; or the application answers with the words of the gateway", meaning.cause);
        return Some(Meaning { cause, ..meaning });
    }
    Some(meaning)
}

impl Evidence<'_> {
    /// Whether the request went to an API or a function, behind which an application answers.
    fn is_of_api(&self) -> bool {
        matches!(self.request.scope.service.as_str(), "execute-api" | "lambda")
    }

    /// Whether the words may be those of a REST API: an HTTP API has no API keys, quotas, request validators and mapping
    /// templates, so that its integration says what sounds like them.
    fn may_be_of_rest_api(&self) -> bool {
        self.is_of_api() && (self.words.has_type() || self.head.answered_by() != AnsweredBy::HttpApi)
    }

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
    // Applications say the same of their own tokens, with another status or in lower case.
    let is_said = head.is(403)
        && words.message() == "Missing Authentication Token"
        && head.answered_by() != AnsweredBy::HttpApi;
    let is_typed = words.typed(&["MissingAuthenticationTokenException", "MissingAuthenticationToken"]);
    if (is_said || is_typed) && request.scope.service != "execute-api" {
        return Some(Meaning::new(
            "authorization-rewritten",
            "the signature did not arrive: something between the proxy and the service removed Authorization",
            "look for a CDN, a load balancer or a forward proxy on the way, and let the setting upstream name the service \
             itself",
        ));
    }
    if is_said || is_typed {
        return Some(Meaning::new(
            "no-such-route",
            format!(
                "the stage has no route {route}; API Gateway calls that \"Missing Authentication Token\""
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
    let is_unknown = evidence.words.says("invalid api key identifier specified");
    (is_unknown && evidence.may_be_of_rest_api()).then(|| {
        let cause = "the API key that was sent is not known";
        Meaning::new("api-key", cause, forbidden::KEY_THAT_WAS_SENT)
    })
}

fn throttled(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    // Some services answer 400 or 503 instead of 429.
    let is_limit = head.is(429) || head.is(503) || head.is(400);
    let is_quota = words.typed(&["LimitExceededException"]) || evidence.says_as_gateway("limit exceeded");
    if head.is(429) && is_quota && evidence.may_be_of_rest_api() {
        return Some(Meaning::new(
            "quota-exceeded",
            "the API key has used up the quota of its usage plan",
            "wait for the next period of the quota, or raise the quota of the usage plan",
        ));
    }
    let is_throttled =
        words.typed(&["TooManyRequestsException", "ThrottlingException", "Throttling", "SlowDown"])
            || head.is(429)
                && ["too many requests", "rate exceeded"].iter().any(|text| evidence.says_as_gateway(text));
    (is_limit && is_throttled).then(|| {
        Meaning::new(
            "throttled",
            "requests come faster than the account, the stage, the method or the usage plan allows",
            "send fewer at once and repeat with growing pauses, or raise the rate and burst limits",
        )
    })
}
