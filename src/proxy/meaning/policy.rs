//! A signature that is right, of a caller who is not allowed.

mod denial;

use serde_json::Value;

use super::{Details, Evidence, Meaning, answer::AnsweredBy};
use denial::Denial;

/// Denials whose words say what is denied.
pub(super) fn denied(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, request } = evidence;
    if words.says("function url authorization") {
        return Some(function_url());
    }
    if words.says("is not authorized to perform") {
        let denial = Denial::parse(evidence)?;
        // A REST API gives its own denials a type. Without one, an application passes on what it was denied itself.
        let is_of_gateway =
            words.has_type() || denial.action.starts_with(&format!("{}:", request.scope.service));
        return (is_of_gateway || head.answered_by() == AnsweredBy::Saved).then(|| denial.meaning(request));
    }
    if matches!(request.scope.service.as_str(), "es" | "aoss") && words.says("no permissions for [") {
        return Some(Meaning::new(
            "denied",
            "OpenSearch knows the role, and none of the OpenSearch roles that it is mapped to allows the action",
            "map the ARN of the role, as a backend role, to a role of OpenSearch that has the permission",
        ));
    }
    let is_of_gateway = words.has_type() || head.answered_by() == AnsweredBy::Saved;
    if is_of_gateway && words.says("user is not authorized to access this resource") {
        let how = if words.says("explicit deny") { "denies" } else { "does not allow" };
        return Some(Meaning::new(
            "authorizer-denied",
            format!(
                "the policy that a Lambda authorizer returned {how} the request; this method does not use AWS_IAM"
            ),
            "correct the policy that the authorizer returns, or set the authorization of the method to AWS_IAM and \
             deploy the API",
        ));
    }
    None
}

/// Denials of which nothing is known but that they are.
pub(super) fn denied_without_reason(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, request } = evidence;
    let service = request.scope.service.as_str();
    if service == "appsync"
        && words.typed(&["UnauthorizedException", "Unauthorized", "AccessDeniedException"])
    {
        return Some(appsync());
    }
    if !words.typed(&["AccessDeniedException", "AccessDenied"]) {
        return None;
    }
    if let Some(names) = words.element("HeadersNotSigned") {
        return Some(Meaning::new(
            "authorization-rewritten",
            format!("something on the way added headers that the signature does not cover: {names}"),
            "let no proxy between here and S3 add x-amz headers",
        ));
    }
    if service == "lambda" && words.says_nothing() {
        return Some(Meaning::new(
            "no-such-route",
            "there is no function with this URL",
            "compare the setting upstream with the function URL in the Lambda console",
        ));
    }
    head.is(403).then(|| {
        Meaning::new(
            "denied",
            "a policy denies the request, and the answer does not say which",
            format!(
                "allow the action of {service} in a policy of the role, and look for a Deny in the resource policy and \
                 in the policies of the organization"
            ),
        )
    })
}

fn appsync() -> Meaning {
    let meaning = Meaning::new(
        "denied",
        "AppSync does not let the role call the API: no policy allows appsync:GraphQL, or the API has no IAM \
         authorization",
        "allow appsync:GraphQL on the API's ARN in a policy of the role, and add AWS_IAM to the authorization modes of \
         the API",
    );
    meaning.with(Details { action: Some("appsync:GraphQL".to_owned()), ..Details::default() })
}

fn function_url() -> Meaning {
    Meaning::new(
        "function-url",
        "the role is not allowed to call the function URL",
        "allow both lambda:InvokeFunctionUrl and lambda:InvokeFunction on the function, in a policy of the role or in \
         the function's own policy",
    )
}

/// A statement to copy. It has blanks where a terminal may break it without breaking the JSON.
pub(super) fn statement(principal: Option<&str>, action: &str, resource: &str) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let principal =
        principal.map(|arn| format!("\"Principal\": {{\"AWS\": {}}}, ", quoted(arn))).unwrap_or_default();
    let (action, resource) = (quoted(action), quoted(resource));
    format!("{{\"Effect\": \"Allow\", {principal}\"Action\": {action}, \"Resource\": {resource}}}")
}
