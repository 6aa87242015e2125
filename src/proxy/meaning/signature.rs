//! A signature that the gateway does not accept: its scope, its time, its credentials, or what it was computed from.

mod difference;
mod skew;

use super::{Details, Evidence, Meaning, request::SignedFacts, words::shown};

/// Refusals by the check of a signature, in the words of any service.
pub(super) fn refused(evidence: &Evidence<'_>) -> Option<Meaning> {
    // A missing signature is what API Gateway says of a missing route: gateway.rs has it.
    scope(evidence)
        .or_else(|| skew::meaning(evidence))
        .or_else(|| credentials(evidence))
        .or_else(|| rewritten(evidence))
        .or_else(|| difference::meaning(evidence))
}

fn credentials(evidence: &Evidence<'_>) -> Option<Meaning> {
    let words = evidence.words;
    if words.typed(&["ExpiredTokenException", "ExpiredToken"])
        || words.says("security token included in the request is expired")
    {
        return Some(Meaning::new(
            "token-expired",
            "the credentials that the request was signed with have expired",
            "send the request again, since the proxy renews expired credentials; if it is refused again, check the \
             clock of this machine and sign in again with \"countersign login\"",
        ));
    }
    let is_unknown = words.typed(&[
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "InvalidToken",
    ]);
    (is_unknown || words.says("security token included in the request is invalid")).then(|| {
        Meaning::new(
            "token-invalid",
            format!(
                "the access key or the session token is not known in {}: it belongs to another account or partition, \
                 was deactivated, or the account has not enabled the region",
                evidence.request.scope.region
            ),
            "use the pools of the account and the partition (aws, aws-cn, aws-us-gov) that the API is in, and enable the \
             region for that account if it is an opt-in region",
        )
    })
}

/// A region or a service that is not the gateway's.
fn scope(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, request } = evidence;
    if let Some(meaning) = endpoint(evidence) {
        return Some(meaning);
    }
    let is_wrong_region = words.says("scoped to a valid region")
        || (words.says("the region ") && words.says(" is wrong"))
        || words.typed(&["PermanentRedirect"]) && head.bucket_region().is_some();
    let service = words
        .quoted_after("scoped to correct service:")
        .or_else(|| words.quoted_after("this endpoint belongs to"));
    let is_wrong_service =
        service.is_some() || words.says("scoped to correct service") || words.says("; incorrect service");
    let expected_region = is_wrong_region.then(|| expected_region(evidence)).flatten();
    let signed = &request.scope;
    let meaning = match (is_wrong_region, is_wrong_service) {
        (false, false) => return None,
        (true, false) => wrong_region(request, expected_region.as_deref()),
        (false, true) => Meaning::new(
            "wrong-service",
            format!(
                "the request is signed for the service {}, which is not the service of the API",
                signed.service
            ),
            match &service {
                Some(service) => format!("set service to {service}"),
                None => "set service to the signing name of the API's service".to_owned(),
            },
        ),
        (true, true) => Meaning::new(
            "wrong-scope",
            format!(
                "the request is signed for the service {} in {}, and the API has another service and another region",
                signed.service, signed.region
            ),
            format!(
                "set region to the region of the API and service to {}",
                service.as_deref().unwrap_or("the signing name of its service")
            ),
        ),
    };
    let expected = if is_wrong_service { service } else { expected_region };
    Some(meaning.with(Details { expected, ..Details::default() }))
}

fn wrong_region(request: &SignedFacts, expected: Option<&str>) -> Meaning {
    Meaning::new(
        "wrong-region",
        format!("the request is signed for the region {}, which is not the region of the API", request.scope.region),
        match expected {
            Some(region) => format!("set region to {region}"),
            None => "set region to the region of the API; a custom domain does not show it, the API's own invoke URL \
                     does"
                .to_owned(),
        },
    )
}

/// The region that the gateway names, or the one that the host name has.
fn expected_region(evidence: &Evidence<'_>) -> Option<String> {
    let Evidence { head, words, request } = evidence;
    let named = words
        .quoted_after("expecting")
        .or_else(|| words.element("Region"))
        .or_else(|| head.bucket_region().map(str::to_owned));
    let of_host = || request.region_of_host().filter(|region| *region != request.scope.region);
    named.or_else(|| of_host().map(str::to_owned)).filter(|region| is_name(region))
}

/// S3 answers 301 at the endpoint of another region.
fn endpoint(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    if !words.typed(&["PermanentRedirect"]) {
        return None;
    }
    let endpoint = shown(&words.element("Endpoint")?);
    let region = head.bucket_region().filter(|region| is_name(region));
    let meaning = Meaning::new(
        "wrong-endpoint",
        format!("the bucket is not at this endpoint, but at {endpoint}"),
        format!(
            "set upstream to https://{endpoint} and region to {}",
            region.unwrap_or("the region of the bucket")
        ),
    );
    Some(meaning.with(Details { expected: region.map(str::to_owned), ..Details::default() }))
}

/// An `Authorization` that did not arrive as it was sent. The gateway quotes it in these messages, so that they are not
/// quoted here.
fn rewritten(evidence: &Evidence<'_>) -> Option<Meaning> {
    let words = evidence.words;
    let is_rewritten = words.typed(&["IncompleteSignatureException", "AuthorizationHeaderMalformed"])
        || words.says("authorization header requires")
        || words.says("not a valid key=value pair")
        || words.says("invalid key=value pair")
        || words.says("unsupported authorization type")
        || words.says("must be a 'signedheader'")
        || words.says("date in credential scope does not match")
        || words.says("scoped with a valid terminator");
    is_rewritten.then(|| {
        Meaning::new(
            "authorization-rewritten",
            "the signature did not arrive as it was sent: something between the proxy and the gateway replaced or \
             changed Authorization or x-amz-date",
            "look for a CDN, a load balancer or a forward proxy on the way that sets Authorization, and let the setting \
             upstream name the API itself",
        )
    })
}

/// Whether a text may be a region or a service: it goes into an advice to set it.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
