//! A signature that the gateway does not accept: its scope, its time, its credentials, or what it was computed from.

mod difference;
mod scope;
mod skew;

use super::{Evidence, Meaning};

/// Refusals by the check of a signature, in the words of any service.
pub(super) fn refused(evidence: &Evidence<'_>) -> Option<Meaning> {
    // A missing signature is what API Gateway says of a missing route: gateway.rs has it.
    scope::meaning(evidence)
        .or_else(|| skew::meaning(evidence))
        .or_else(|| credentials(evidence))
        .or_else(|| algorithm(evidence))
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
                evidence.request.scope.region.as_str()
            ),
            "use the pools of the account and the partition (aws, aws-cn, aws-us-gov) that the API is in, and enable the \
             region for that account if it is an opt-in region",
        )
    })
}

fn algorithm(evidence: &Evidence<'_>) -> Option<Meaning> {
    evidence.words.says("unsupported aws 'algorithm'").then(|| {
        Meaning::new(
            "wrong-algorithm",
            "the API does not accept signatures of SigV4A, by which the setting region-set signs",
            "set region to the region of the API instead of region-set",
        )
    })
}

/// An `Authorization` that did not arrive as it was sent. The gateway quotes it in these messages, so that they are not
/// quoted here.
fn rewritten(evidence: &Evidence<'_>) -> Option<Meaning> {
    let words = evidence.words;
    let is_rewritten = words.typed(&["IncompleteSignatureException", "AuthorizationHeaderMalformed"])
        || words.says("authorization header requires '")
        || words.says("authorization header requires existence")
        || words.says("not a valid key=value pair")
        || words.says("invalid key=value pair")
        || words.has_type() && words.says("unsupported authorization type")
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
