//! A signature for another region or another service than the gateway's.

use crate::proxy::meaning::{Details, Evidence, Meaning, words::shown};

/// What is wrong with the scope, and what the gateway expects where it says so.
enum Fault {
    Region(Option<String>),
    Service(Option<String>),
    Both(Option<String>),
}

pub(super) fn meaning(evidence: &Evidence<'_>) -> Option<Meaning> {
    if let Some(meaning) = endpoint(evidence) {
        return Some(meaning);
    }
    let fault = fault(evidence)?;
    let signed = &evidence.request.scope;
    let (setting, place, lacks) = match signed.region.one() {
        Some(region) => ("region", format!("the region {region}"), "which is not the region of the API"),
        None => {
            let regions = format!("the regions {}", signed.region.as_str());
            ("region-set", regions, "which do not include the region of the API")
        }
    };
    let (name, cause, cure) = match &fault {
        Fault::Region(expected) => (
            "wrong-region",
            format!("the request is signed for {place}, {lacks}"),
            match expected {
                Some(region) => format!("set {setting} to {region}"),
                None => format!(
                    "set {setting} to the region of the API; a custom domain does not show it, the API's own invoke \
                     URL does"
                ),
            },
        ),
        Fault::Service(expected) => (
            "wrong-service",
            format!(
                "the request is signed for the service {}, which is not the service of the API",
                signed.service
            ),
            format!(
                "set service to {}",
                expected.as_deref().unwrap_or("the signing name of the API's service")
            ),
        ),
        Fault::Both(expected) => (
            "wrong-scope",
            format!(
                "the request is signed for the service {} and {place}, and the API has another service and another \
                 region",
                signed.service
            ),
            format!(
                "set {setting} to the region of the API and service to {}",
                expected.as_deref().unwrap_or("the signing name of its service")
            ),
        ),
    };
    let (Fault::Region(expected) | Fault::Service(expected) | Fault::Both(expected)) = fault;
    Some(Meaning::new(name, cause, cure).with(Details { expected, ..Details::default() }))
}

/// Services word it differently, API Gateway itself in two ways.
fn fault(evidence: &Evidence<'_>) -> Option<Fault> {
    let Evidence { head, words, request } = evidence;
    // An answer to HEAD has no words, but S3 says where the bucket is.
    let is_elsewhere =
        || head.bucket_region().is_some_and(|region| request.scope.region.one() != Some(region));
    let is_malformed =
        words.typed(&["AuthorizationHeaderMalformed"]) || words.says("authorization header is malformed");
    let says_region_is_wrong = is_malformed && words.says("the region ") && words.says("is wrong");
    let is_region = words.says("scoped to a valid region")
        || says_region_is_wrong
        || words.typed(&["PermanentRedirect"]) && head.bucket_region().is_some()
        || words.body().is_empty() && (head.is(301) || head.is(400)) && is_elsewhere();
    let is_service = words.says("scoped to correct service") || words.says("; incorrect service");
    let service = || {
        let named = words.quoted_after("scoped to correct service:");
        named.or_else(|| words.quoted_after("this endpoint belongs to")).filter(|service| is_name(service))
    };
    match (is_region, is_service) {
        (false, false) => None,
        (true, false) => Some(Fault::Region(region(evidence))),
        (false, true) => Some(Fault::Service(service())),
        (true, true) => Some(Fault::Both(service())),
    }
}

/// The region that the gateway names, or the one that the host name has.
fn region(evidence: &Evidence<'_>) -> Option<String> {
    let Evidence { head, words, request } = evidence;
    let named = words
        .quoted_after("expecting")
        .or_else(|| words.element("Region"))
        .or_else(|| head.bucket_region().map(str::to_owned));
    let of_host = || request.region_of_host().filter(|region| *region != request.scope.region.as_str());
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

/// Whether a text may be a region or a service: it goes into an advice to set it.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
