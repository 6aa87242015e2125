//! What refuses a request before the API sees it: a firewall, CloudFront, or a limit on the length of a body.

use super::{Evidence, Meaning, answer::AnsweredBy};

const WEB_ACL: &str =
    "look at the sampled requests of the web ACL, which name the rule that matched, and change that rule";

/// These have no error type, and often no id that AWS's services leave.
pub(super) fn refused(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, .. } = evidence;
    if let Some(action) = head.firewall_action() {
        let cause =
            format!("AWS WAF stopped the request in front of the API and asks for the action {action}");
        return Some(Meaning::new("firewall", cause, WEB_ACL));
    }
    if words.typed(&["WAFForbiddenException"]) || words.says("due to waf block") {
        return Some(firewall("AWS WAF blocked the request in front of the API"));
    }
    if head.is(413) && words.says("http content length exceeded") {
        return Some(body_too_large());
    }
    let is_page =
        head.is_html() || words.body().trim_start().starts_with("<html") || is_of_cloudfront(evidence);
    if !head.is(403) || !is_page {
        return None;
    }
    match head.answered_by() {
        AnsweredBy::CloudFront if head.is_made_by_cloudfront() => Some(cloudfront(evidence)),
        AnsweredBy::CloudFront | AnsweredBy::Unknown | AnsweredBy::Saved if is_of_cloudfront(evidence) => {
            Some(cloudfront(evidence))
        }
        AnsweredBy::LoadBalancer | AnsweredBy::Saved => Some(firewall(
            "the answer is a web page of a load balancer, not of the API: a firewall (AWS WAF) in front of it blocked \
             the request",
        )),
        // Every answer that comes through these services has a request id.
        AnsweredBy::Unknown if evidence.is_numbered_service() => Some(Meaning::new(
            "firewall",
            "the answer is a web page without a request id, so it does not come from the API: a firewall (AWS WAF) or \
             a proxy in front of it blocked the request",
            format!("{WEB_ACL}; check also which proxy HTTPS_PROXY names"),
        )),
        _ => None,
    }
}

pub(super) fn body_too_large() -> Meaning {
    Meaning::new(
        "gateway-body-too-large",
        "the body is larger than the gateway accepts: 10 MiB for API Gateway, 6 MiB for a Lambda function",
        "send less at once, or upload to S3 and send the key of the object",
    )
}

fn firewall(cause: &str) -> Meaning {
    Meaning::new("firewall", cause, WEB_ACL)
}

fn is_of_cloudfront(evidence: &Evidence<'_>) -> bool {
    evidence.words.says("the request could not be satisfied")
}

fn cloudfront(evidence: &Evidence<'_>) -> Meaning {
    if evidence.words.says("not configured to allow the http request method") {
        let cause = format!("CloudFront does not forward {} requests to the API", evidence.request.method);
        return Meaning::new("firewall", cause, "allow the method in the cache behavior of the distribution");
    }
    if evidence.words.says("configured to block access from your country") {
        let cause = "CloudFront refused the request for the country that it comes from";
        return Meaning::new("firewall", cause, "change the geographic restriction of the distribution");
    }
    Meaning::new(
        "firewall",
        "CloudFront refused the request in front of the API: a rule of AWS WAF, a Host that is no domain name of \
         the distribution, or a GET with a body",
        format!("{WEB_ACL}; check that upstream, or sign-host, is a domain name of the distribution"),
    )
}

impl Evidence<'_> {
    /// Whether the service numbers all its answers.
    fn is_numbered_service(&self) -> bool {
        matches!(self.request.scope.service.as_str(), "execute-api" | "appsync" | "lambda")
    }
}
