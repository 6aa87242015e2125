//! `{"message":"Forbidden"}`: the gateway gives no reason. What is possible is put in the order of what is known about the
//! request, and called what it is: possible.

use crate::proxy::meaning::{
    Details, Evidence, Meaning,
    answer::AnsweredBy,
    policy::statement,
    request::{HostKind, SignedFacts},
};

pub(super) const KEY_THAT_WAS_SENT: &str =
    "check the value of x-api-key, and that the usage plan of the key includes this stage";

/// How many possible causes are named: what comes behind these is less likely than a mistake in the first.
const MAX_NAMED: usize = 3;

/// A cause that is possible: the name of its meaning, the cause and the cure.
type Possible = (&'static str, String, String);

pub(super) fn meaning(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, request } = evidence;
    if !head.is(403) {
        return None;
    }
    let is_untyped = !words.has_type() && words.says_only("forbidden");
    if is_untyped && head.answered_by() == AnsweredBy::HttpApi {
        return Some(of_http_api(request));
    }
    let is_saved = head.answered_by() == AnsweredBy::Saved;
    let is_of_rest_api = words.typed(&["ForbiddenException"]) || is_untyped && is_saved;
    if !is_of_rest_api {
        return None;
    }
    match request.scope.service.as_str() {
        "execute-api" => {}
        "iotdata" | "iotdevicegateway" => return Some(iot()),
        service => return Some(of_service(service)),
    }
    let possible = possible_causes(request);
    let list = |part: fn(&Possible) -> &str| {
        let parts: Vec<&str> = possible.iter().take(MAX_NAMED).map(part).collect();
        parts.join("; or ")
    };
    let cause = format!("it gives no reason; most likely {}", list(|(_, cause, _)| cause));
    Some(Meaning::new(possible[0].0, cause, list(|(_, _, cure)| cure)))
}

/// IAM alone does not allow it to users of an identity pool (AWS IoT Core developer guide, "Authorization with Amazon
/// Cognito identities").
fn iot() -> Meaning {
    Meaning::new(
        "denied",
        "AWS IoT does not allow the operation: a policy of the role has to allow it, and for signed-in users of an \
         identity pool also a policy of AWS IoT that is attached to the identity",
        "allow the action (iot:Publish for example) in a policy of the role, and attach a policy of AWS IoT that allows \
         it to the identity id, which \"countersign whoami\" shows",
    )
}

fn of_service(service: &str) -> Meaning {
    Meaning::new(
        "denied",
        format!("{service} does not allow the operation and gives no reason"),
        format!(
            "allow the action of {service} in a policy of the role, and look at the resource's own policy"
        ),
    )
}

/// The most likely first.
fn possible_causes(request: &SignedFacts) -> Vec<Possible> {
    let private = private_api(request);
    match request.host_kind() {
        HostKind::VpcEndpoint => vec![private, api_key(request), firewall()],
        HostKind::Endpoint if !request.has_base_path => vec![stage(request), api_key(request), firewall()],
        HostKind::Endpoint => vec![api_key(request), stage(request), firewall()],
        HostKind::CustomDomain => vec![mapping(request), api_key(request), firewall()],
        HostKind::OtherService | HostKind::Local => vec![api_key(request), private, firewall()],
    }
}

fn api_key(request: &SignedFacts) -> Possible {
    if request.has_api_key {
        let cause = "the API key that was sent does not count for this stage";
        ("api-key", cause.to_owned(), KEY_THAT_WAS_SENT.to_owned())
    } else {
        let cure = "add set-header = [\"x-api-key: KEY\"] with a key whose usage plan includes this stage";
        ("api-key", "the method requires an API key and none was sent".to_owned(), cure.to_owned())
    }
}

fn stage(request: &SignedFacts) -> Possible {
    (
        "no-such-stage",
        format!("there is no stage \"{}\"", request.first_segment()),
        format!("let upstream end in a stage of the API, https://{}/STAGE", request.host),
    )
}

fn private_api(request: &SignedFacts) -> Possible {
    let id = request.api_id().unwrap_or("API_ID");
    let region = &request.scope.region;
    let suffix = if request.partition() == "aws-cn" { ".cn" } else { "" };
    (
        "private-api",
        "the API is private and was called under a name that does not tell which API is meant".to_owned(),
        format!(
            "set sign-host to {id}.execute-api.{region}.amazonaws.com{suffix}, or send the header x-apigw-api-id"
        ),
    )
}

fn mapping(request: &SignedFacts) -> Possible {
    (
        "custom-domain",
        format!("the custom domain {} has no API mapping for {}", request.host_name(), request.path),
        "compare the path with the API mappings of the domain: its paths have no stage, but the key of the mapping".to_owned(),
    )
}

fn firewall() -> Possible {
    let cure = "look at the sampled requests of the API's web ACL";
    ("firewall", "AWS WAF blocked the request".to_owned(), cure.to_owned())
}

/// An HTTP API tells its reason to its access log only.
fn of_http_api(request: &SignedFacts) -> Meaning {
    let (partition, region) = (request.partition(), &request.scope.region);
    let resource = format!("arn:{partition}:execute-api:{region}:*:{}/*", request.api_id().unwrap_or("*"));
    let policy = statement(None, "execute-api:Invoke", &resource);
    let domain = match request.host_kind() {
        HostKind::CustomDomain => ", or the custom domain has no mapping for the path",
        _ => "",
    };
    Meaning::new(
        "forbidden",
        format!(
            "it gives no reason; most likely the role's policy does not allow execute-api:Invoke; or the \
             credentials belong to another account{domain}"
        ),
        format!(
            "allow it in a policy of the role: {policy}; the access log of the API has the reason as \
             $context.authorizer.error"
        ),
    )
    .with(Details {
        action: Some("execute-api:Invoke".to_owned()),
        resource: Some(resource),
        policy: Some(policy),
        ..Details::default()
    })
}
