use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Response, StatusCode};

use super::*;
use crate::{
    proxy::{admission::Refusal, error::ProxyError},
    signing::{Scope, TargetError},
    telemetry::metrics::Limit,
};

const REST: (&str, &str) = ("x-amzn-requestid", "1");
const HTTP_API: (&str, &str) = ("apigw-requestid", "2");
const S3: (&str, &str) = ("x-amz-request-id", "3");
const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/Auth/CognitoIdentityCredentials";
const API: &str = "arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders";
const OURS: &str = "GET\n/prod/orders\na=1&token=s3cret\nhost:abc123.execute-api.eu-west-1.amazonaws.com\n\
                    x-amz-date:20170212T175938Z\nx-amz-security-token:S3CRET\n\n\
                    host;x-amz-date;x-amz-security-token\ne3b0";

fn typed(error_type: &'static str) -> (&'static str, &'static str) {
    ("x-amzn-errortype", error_type)
}

fn request() -> SignedFacts {
    SignedFacts {
        scope: Scope { region: "eu-west-1".into(), service: "execute-api".to_owned() },
        host: "abc123.execute-api.eu-west-1.amazonaws.com".to_owned(),
        method: Method::GET,
        path: "/prod/orders".to_owned(),
        has_base_path: true,
        has_api_key: false,
        canonical_request: OURS.to_owned(),
        // 2017-02-12T17:59:38Z
        signed_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_486_922_378),
    }
}

fn of(
    status: u16,
    fields: &[(&'static str, &'static str)],
    body: &str,
    request: &SignedFacts,
) -> Option<Meaning> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in fields {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    Meaning::of_answer(&AnswerHead::of(&response)?, body.as_bytes(), request)
}

fn message(text: &str) -> String {
    serde_json::json!({ "message": text }).to_string()
}

fn name(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Option<&'static str> {
    of(status, fields, body, &request()).map(|meaning| meaning.name)
}

#[test]
fn answers_have_a_meaning_by_their_type_or_their_words() {
    let lacks = "The security token included in the request is";
    let denied = format!("User: {ROLE} is not authorized to perform: execute-api:Invoke on resource: {API}");
    let difference =
        "The request signature we calculated does not match the signature you provided. Check your key.";
    for (status, fields, body, expected) in [
        (403, &[REST, typed("MissingAuthenticationTokenException")][..], message("Missing Authentication Token"), "no-such-route"),
        // The owner of an API may replace the status and the body.
        (404, &[REST, typed("MissingAuthenticationTokenException")], "nothing here".to_owned(), "no-such-route"),
        (403, &[REST], message("Missing Authentication Token"), "no-such-route"),
        (404, &[HTTP_API], message("Not Found"), "no-such-route"),
        (403, &[REST, typed("AccessDeniedException:http://internal.amazon.com/")], message(&denied), "denied"),
        (403, &[REST, typed("AccessDeniedException")], format!("{{\"Message\":\"{denied} because no identity-based policy allows the execute-api:Invoke action\"}}"), "denied"),
        (403, &[REST, typed("AccessDeniedException")], message(&format!("{denied} with an explicit deny")), "explicit-deny"),
        (403, &[REST, typed("AccessDeniedException")], message(&format!("{denied} with an explicit deny in a service control policy")), "explicit-deny"),
        (403, &[REST, typed("AccessDeniedException")], message(&format!("{denied} because no resource-based policy allows the execute-api:Invoke action")), "resource-policy"),
        (403, &[REST, typed("AccessDeniedException")], message(&format!("{denied} because no session policy allows the execute-api:Invoke action")), "session-policy"),
        (403, &[REST, typed("AccessDeniedException")], message(&format!("{denied} because no permissions boundary allows the execute-api:Invoke action")), "permissions-boundary"),
        (403, &[REST, typed("AccessDeniedException")], message(&format!("{denied} because no service control policy allows the execute-api:Invoke action")), "service-control-policy"),
        (403, &[REST, typed("AccessDeniedException")], message("User: anonymous is not authorized to perform: execute-api:Invoke on resource: x"), "resource-policy"),
        (403, &[REST, typed("AccessDeniedException")], message("User is not authorized to access this resource with an explicit deny"), "authorizer-denied"),
        (403, &[REST, typed("AccessDeniedException")], message("Invalid API Key identifier specified"), "api-key"),
        (403, &[REST, typed("AccessDeniedException")], message("no"), "denied"),
        (403, &[REST, typed("ExpiredTokenException")], "nothing here".to_owned(), "token-expired"),
        (403, &[HTTP_API], message(&format!("{lacks} expired")), "token-expired"),
        (400, &[S3], "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>".to_owned(), "token-expired"),
        (403, &[REST, typed("UnrecognizedClientException")], message(&format!("{lacks} invalid.")), "token-invalid"),
        // As AWS's knowledge centre has it.
        (403, &[REST, typed("AccessDeniedException")], message(&format!("{lacks} invalid.")), "token-invalid"),
        (403, &[S3], "<Error><Code>InvalidAccessKeyId</Code></Error>".to_owned(), "token-invalid"),
        (400, &[REST], "{\"__type\":\"com.amazon.coral.service#UnrecognizedClientException\",\"message\":\"x\"}".to_owned(), "token-invalid"),
        (403, &[REST, typed("InvalidSignatureException")], message("Credential should be scoped to a valid region. "), "wrong-region"),
        (403, &[REST, typed("InvalidSignatureException")], message("Credential should be scoped to a valid Region, not 'eu-west-1'. "), "wrong-region"),
        (403, &[REST, typed("InvalidSignatureException")], message("The credential must be scoped to a valid region."), "wrong-region"),
        (400, &[S3], "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region></Error>".to_owned(), "wrong-region"),
        (403, &[REST, typed("InvalidSignatureException")], message("Credential should be scoped to correct service: 'lambda'. "), "wrong-service"),
        (400, &[S3], "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; incorrect service \"execute-api\". This endpoint belongs to \"s3\".</Message></Error>".to_owned(), "wrong-service"),
        (403, &[REST, typed("InvalidSignatureException")], message("Credential should be scoped to a valid region. Credential should be scoped to correct service: 'lambda'. "), "wrong-scope"),
        (301, &[S3, ("x-amz-bucket-region", "eu-central-1")], "<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-central-1.amazonaws.com</Endpoint></Error>".to_owned(), "wrong-endpoint"),
        (403, &[REST, typed("InvalidSignatureException")], message(difference), "signature-differs"),
        (403, &[S3], format!("<Error><Code>SignatureDoesNotMatch</Code><Message>{difference}</Message></Error>"), "signature-differs"),
        (400, &[S3], "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>".to_owned(), "signature-differs"),
        (403, &[REST, typed("IncompleteSignatureException")], message("Authorization header requires 'Credential' parameter."), "authorization-rewritten"),
        (403, &[REST], message("'s3cret' not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer s3cret'."), "authorization-rewritten"),
        (403, &[S3], "<Error><Code>AccessDenied</Code><HeadersNotSigned>x-amz-meta-a</HeadersNotSigned></Error>".to_owned(), "authorization-rewritten"),
        (401, &[HTTP_API, ("www-authenticate", "Bearer")], message("Unauthorized"), "other-authorizer"),
        (401, &[REST, typed("UnauthorizedException")], message("The incoming token has expired"), "other-authorizer"),
        (403, &[HTTP_API], message("Forbidden"), "forbidden"),
        (403, &[("x-amzn-waf-action", "captcha")], String::new(), "firewall"),
        (403, &[("server", "CloudFront"), ("content-type", "text/html")], "<H1>403 ERROR</H1>Request blocked.".to_owned(), "firewall"),
        (403, &[("content-type", "text/html")], "<html><h1>403 Forbidden</h1></html>".to_owned(), "firewall"),
        (403, &[("server", "awselb/2.0"), ("content-type", "text/html")], "<html></html>".to_owned(), "firewall"),
        (429, &[REST, typed("TooManyRequestsException")], message("Too Many Requests"), "throttled"),
        (429, &[HTTP_API], message("Too Many Requests"), "throttled"),
        (503, &[S3], "<Error><Code>SlowDown</Code></Error>".to_owned(), "throttled"),
        (429, &[REST, typed("LimitExceededException")], message("Limit Exceeded"), "quota-exceeded"),
        (504, &[REST], message("Endpoint request timed out"), "integration-timeout"),
        (503, &[HTTP_API], message("Service Unavailable"), "integration-timeout"),
        (504, &[REST, typed("InternalServerErrorException")], message("Network error communicating with endpoint"), "integration-unreachable"),
        (502, &[REST, typed("InternalServerErrorException")], message("Internal server error"), "malformed-integration-response"),
        (500, &[REST, typed("InternalServerErrorException")], message("Internal server error"), "integration-failed"),
        (500, &[HTTP_API], message("Internal Server Error"), "integration-failed"),
        (500, &[REST, typed("AuthorizerConfigurationException")], "{\"message\":null}".to_owned(), "authorizer-failed"),
        (413, &[REST, typed("RequestTooLargeException")], message("Request Too Long"), "gateway-body-too-large"),
        (413, &[], "HTTP content length exceeded 10485760 bytes.".to_owned(), "gateway-body-too-large"),
        (400, &[REST, typed("BadRequestException")], message("Invalid request body"), "invalid-body"),
        (400, &[REST, typed("BadRequestException")], message("Missing required request parameters: [a, b]"), "missing-parameters"),
        (400, &[REST, typed("BadRequestException")], message("Malformed URI"), "invalid-request"),
        (415, &[REST, typed("UnsupportedMediaTypeException")], message("Unsupported Media Type"), "unsupported-media-type"),
        (403, &[REST, typed("AccessDeniedException")], message("Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com"), "function-url"),
    ] {
        assert_eq!(name(status, fields, &body), Some(expected), "{status} {fields:?} {body}");
    }
}

#[test]
fn the_applications_own_answers_have_no_meaning() {
    let backend = format!("User: {ROLE} is not authorized to perform: dynamodb:GetItem on resource: x");
    for (status, fields, body) in [
        (403, &[][..], message("Forbidden")),
        (403, &[REST], message("Forbidden")),
        (404, &[REST], message("Not Found")),
        (401, &[REST], message("Unauthorized")),
        (500, &[REST], message("Internal Server Error")),
        (404, &[HTTP_API], "{\"message\":\"Not Found\",\"statusCode\":404}".to_owned()),
        (500, &[HTTP_API], "{\"error\":\"broken\"}".to_owned()),
        (429, &[REST], message("slow down, please")),
        (403, &[REST, ("content-type", "text/html")], "<html>no</html>".to_owned()),
        (403, &[REST], message(&backend)),
        (500, &[REST], message("The security token included in the request is expired")),
        (502, &[HTTP_API], message(&format!("{backend} because no identity-based policy allows it"))),
        (413, &[], message("too large")),
        (504, &[], message("Endpoint request timed out")),
        (400, &[HTTP_API], message("Invalid id")),
        (200, &[REST, typed("ExpiredTokenException")], String::new()),
        (301, &[], String::new()),
        (401, &[HTTP_API], message("Missing authentication token")),
        (403, &[HTTP_API], message("Missing Authentication Token")),
        (401, &[REST], message("Missing Authentication Token")),
        (401, &[REST], message("Invalid API key")),
        (403, &[HTTP_API], message("Invalid API Key identifier specified")),
        (403, &[REST], message("User is not authorized to access this resource")),
        (400, &[REST], message("the region north is wrong")),
        (400, &[REST], message("Signature expired")),
        (403, &[HTTP_API], message("Webhook signature expired: replay refused")),
        (401, &[HTTP_API], message("Authorization header requires a Bearer token")),
        (401, &[REST], message("Unsupported authorization type")),
        (429, &[REST], message("Too Many Requests")),
        (429, &[HTTP_API], message("Limit Exceeded")),
        (502, &[REST], message("Bad Gateway")),
        (400, &[HTTP_API], message("Invalid request body")),
        (415, &[HTTP_API], message("Unsupported Media Type")),
        (
            403,
            &[("server", "nginx"), ("x-amz-cf-id", "1"), ("content-type", "text/html")],
            "<html>members only</html>".to_owned(),
        ),
    ] {
        assert_eq!(name(status, fields, &body), None, "{status} {fields:?} {body}");
    }
    // What is compressed is not read.
    let encoded = [HTTP_API, ("content-encoding", "gzip")];
    assert_eq!(name(403, &encoded, &message("Forbidden")), None);
}

#[test]
fn other_services_have_their_own_words() {
    let of_service = |service: &str, status, fields: &[_], body: &str| {
        let scope = Scope { region: "eu-west-1".into(), service: service.to_owned() };
        of(status, fields, body, &SignedFacts { scope, ..request() }).map(|meaning| {
            assert!(!meaning.cause.contains("\"arn"), "a quoted ARN: {meaning:?}");
            (meaning.name, meaning.details.action)
        })
    };
    let action = |text: &str| Some(text.to_owned());
    let appsync =
        "{\"errors\":[{\"errorType\":\"UnauthorizedException\",\"message\":\"Permission denied\"}]}";
    assert_eq!(of_service("appsync", 401, &[REST], appsync), Some(("denied", action("appsync:GraphQL"))));
    let es = "{\"Message\":\"User: anonymous is not authorized to perform: es:ESHttpGet on resource: x\"}";
    assert_eq!(of_service("es", 403, &[REST], es), Some(("resource-policy", action("es:ESHttpGet"))));
    let s3 = format!(
        "<Error><Code>AccessDenied</Code><Message>User: {ROLE} is not authorized to perform: s3:GetObject on resource: \
         &quot;arn:aws:s3:::b/k&quot; because no identity-based policy allows the s3:GetObject action</Message></Error>"
    );
    assert_eq!(of_service("s3", 403, &[S3], &s3), Some(("denied", action("s3:GetObject"))));
    let access_control =
        "{\"error\":{\"reason\":\"no permissions for [indices:data/read/search] and User [name=x]\"}}";
    assert_eq!(of_service("es", 403, &[REST], access_control), Some(("denied", None)));
    let waf = "{\"errors\":[{\"errorType\":\"WAFForbiddenException\",\"message\":\"403 Forbidden\"}]}";
    assert_eq!(of_service("appsync", 403, &[REST], waf), Some(("firewall", None)));
    assert_eq!(
        of_service("geo", 404, &[REST, typed("UnknownOperationException")], "{}"),
        Some(("no-such-route", None))
    );
    let host = message("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
    let fields = [REST, typed("InvalidSignatureException")];
    assert_eq!(of_service("execute-api", 403, &fields, &host), Some(("authorization-rewritten", None)));
    let missing = message("Missing Authentication Token");
    let fields = [REST, typed("MissingAuthenticationTokenException")];
    assert_eq!(of_service("dynamodb", 400, &fields, &missing), Some(("authorization-rewritten", None)));
    let fields = [REST, typed("ForbiddenException")];
    let iot = "{\"message\":\"Forbidden\",\"traceId\":\"1\"}";
    assert_eq!(of_service("iotdata", 403, &fields, iot), Some(("denied", None)));
    assert_eq!(of_service("appconfig", 403, &fields, &message("Forbidden")), Some(("denied", None)));
    for (status, error_type) in [
        (429, "LimitExceededException"),
        (500, "InternalFailure"),
        (413, "RequestEntityTooLargeException"),
        (415, "UnsupportedMediaTypeException"),
    ] {
        assert_eq!(of_service("iotdata", status, &[REST, typed(error_type)], "{}"), None, "{error_type}");
    }
    for (status, region, expected) in [
        (301, "eu-central-1", Some("wrong-region")),
        (400, "eu-central-1", Some("wrong-region")),
        (400, "eu-west-1", None),
    ] {
        let found = of_service("s3", status, &[S3, ("x-amz-bucket-region", region)], "");
        assert_eq!(found.map(|(name, _)| name), expected, "{status} {region}");
    }
    let nobody = "{\"Message\":null}";
    let fields = [REST, typed("AccessDeniedException")];
    assert_eq!(of_service("lambda", 403, &fields, nobody), Some(("no-such-route", None)));
}

#[test]
fn a_denial_for_another_reason_than_a_missing_statement_says_that_reason() {
    for (rest, cause) in [
        (
            " on resource: \"arn:aws:s3:::b\" because public policies are prevented by the BlockPublicPolicy setting in S3 \
             Block Public Access.",
            "the role Auth is not allowed s3:X on arn:aws:s3:::b: public policies are prevented by the BlockPublicPolicy \
             setting in S3 Block Public Access",
        ),
        (
            " on this resource because the resource does not exist in this Region, no resource-based policies allow \
             access, or a resource-based policy explicitly denies access",
            "the role Auth is not allowed s3:X: the resource does not exist in this Region, no resource-based policies \
             allow access, or a resource-based policy explicitly denies access",
        ),
        (
            " on resource: arn:aws:vpc-lattice:x because no network-based policy allows the s3:X action",
            "the role Auth is not allowed s3:X on arn:aws:vpc-lattice:x: no network-based policy allows it",
        ),
        (
            " because no identity-based policy allows the s3:X action",
            "the role Auth is not allowed s3:X: no policy allows it",
        ),
    ] {
        let body = message(&format!("User: {ROLE} is not authorized to perform: s3:X{rest}"));
        let meaning = of(403, &[REST, typed("AccessDeniedException")], &body, &request()).expect("a meaning");
        assert_eq!((meaning.name, meaning.cause.as_str(), meaning.details.policy), ("denied", cause, None));
    }
}

#[test]
fn what_cloudfront_says_has_its_own_cure() {
    for (page, cure) in [
        (
            "Bad request. We can't connect to the server for this app or website at this time.",
            "domain name of the distribution",
        ),
        (
            "The Amazon CloudFront distribution is configured to block access from your country.",
            "geographic restriction",
        ),
        (
            "This distribution is not configured to allow the HTTP request method that was used.",
            "cache behavior",
        ),
    ] {
        let page = format!("<H1>403 ERROR</H1><H2>The request could not be satisfied.</H2>{page}");
        let fields = [("server", "CloudFront"), ("content-type", "text/html")];
        let meaning = of(403, &fields, &page, &request()).expect("a meaning");
        assert_eq!(meaning.name, "firewall");
        assert!(meaning.cure.contains(cure), "{meaning:?}");
    }
}

#[test]
fn only_an_api_is_deployed_with_its_resource_policy() {
    let denied = |service: &str, how: &str| {
        let body =
            message(&format!("User: {ROLE} is not authorized to perform: {service}:X on resource: r {how}"));
        let scope = Scope { region: "eu-west-1".into(), service: service.to_owned() };
        let request = SignedFacts { scope, ..request() };
        of(403, &[REST, typed("AccessDeniedException")], &body, &request).expect("a meaning").cure
    };
    let because = "because no resource-based policy allows it";
    assert_eq!(
        denied("execute-api", because),
        "add a statement to the resource policy of the API and deploy the API"
    );
    assert_eq!(denied("sqs", because), "add a statement to the policy of the resource");
    for how in ["with an explicit deny in a resource-based policy", "with an explicit deny"] {
        assert!(!denied("sqs", how).contains("API"), "{how}");
        assert!(denied("execute-api", how).contains("the resource policy of the API"), "{how}");
    }
}

#[test]
fn a_denial_says_who_may_not_do_what_and_what_would_allow_it() {
    let body =
        message(&format!("User: {ROLE} is not authorized to perform: execute-api:Invoke on resource: {API}"));
    let meaning = of(403, &[REST, typed("AccessDeniedException")], &body, &request()).expect("a meaning");
    let json = serde_json::to_value(&meaning).expect("JSON");
    let statement = "{\"Effect\": \"Allow\", \"Action\": \"execute-api:Invoke\", \
                     \"Resource\": \"arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/orders\"}";
    let expected = serde_json::json!({
        "name": "denied",
        "cause": format!("the role Auth is not allowed execute-api:Invoke on {API}: no policy allows it"),
        "cure": format!("add a statement to a policy of the role Auth: {statement}"),
        "action": "execute-api:Invoke",
        "resource": API,
        "principal": ROLE,
        "policy": statement,
    });
    assert_eq!(json, expected);
    let body = message(&format!(
        "User: {ROLE} is not authorized to perform: execute-api:Invoke on resource: \
         arn:aws:execute-api:eu-west-1:********0000:abc123/prod/GET/orders because no resource-based policy allows the \
         execute-api:Invoke action"
    ));
    let meaning = of(403, &[REST, typed("AccessDeniedException")], &body, &request()).expect("a meaning");
    let statement = "{\"Effect\": \"Allow\", \"Principal\": {\"AWS\": \"arn:aws:iam::123456789012:role/Auth\"}, \
                     \"Action\": \"execute-api:Invoke\", \
                     \"Resource\": \"arn:aws:execute-api:eu-west-1:*:abc123/prod/GET/orders\"}";
    assert_eq!(meaning.details.policy.as_deref(), Some(statement));
}

#[test]
fn forbidden_names_what_is_possible_in_the_order_of_what_is_known() {
    let key = "the method requires an API key and none was sent";
    let other = "the API key that was sent does not count for this stage";
    let stage = |name: &str| format!("there is no stage \"{name}\"");
    let waf = "AWS WAF blocked the request";
    let private = "the API is private and was called under a name that does not tell which API is meant";
    let mapping = "the custom domain api.example.com has no API mapping for /prod/orders";
    for (host, has_base_path, has_api_key, name, causes) in [
        ("abc123.execute-api.eu-west-1.amazonaws.com", true, false, "api-key", [key, &stage("prod"), waf]),
        ("abc123.execute-api.eu-west-1.amazonaws.com", true, true, "api-key", [other, &stage("prod"), waf]),
        (
            "abc123.execute-api.eu-west-1.amazonaws.com",
            false,
            false,
            "no-such-stage",
            [&stage("prod"), key, waf],
        ),
        (
            "vpce-1-a.execute-api.eu-west-1.vpce.amazonaws.com",
            true,
            false,
            "private-api",
            [private, key, waf],
        ),
        (
            "abc123-vpce-1.execute-api.eu-west-1.amazonaws.com",
            true,
            false,
            "private-api",
            [private, key, waf],
        ),
        ("api.example.com:8443", false, false, "custom-domain", [mapping, key, waf]),
        ("127.0.0.1:1", true, false, "api-key", [key, private, waf]),
        ("localhost", true, true, "api-key", [other, private, waf]),
    ] {
        let request = SignedFacts { host: host.to_owned(), has_base_path, has_api_key, ..request() };
        let meaning = of(403, &[REST, typed("ForbiddenException")], &message("Forbidden"), &request);
        let meaning = meaning.expect("a meaning");
        assert_eq!(meaning.name, name, "{host}");
        let expected = format!("it gives no reason; most likely {}", causes.join("; or "));
        assert_eq!(meaning.cause, expected, "{host}");
    }
    let meaning = of(403, &[HTTP_API], &message("Forbidden"), &request()).expect("a meaning");
    let policy = "{\"Effect\": \"Allow\", \"Action\": \"execute-api:Invoke\", \
                  \"Resource\": \"arn:aws:execute-api:eu-west-1:*:abc123/*\"}";
    assert_eq!(meaning.details.policy.as_deref(), Some(policy));
    assert!(
        meaning.cause.ends_with("; or the application answers with the words of the gateway"),
        "{meaning:?}"
    );
}

#[test]
fn the_expected_region_is_the_one_that_the_gateway_or_the_host_names() {
    let expected = |status, fields: &[_], body: &str, host: &str, region: &str| {
        let scope = Scope { region: region.into(), service: "execute-api".to_owned() };
        let request = SignedFacts { scope, host: host.to_owned(), ..request() };
        of(status, fields, body, &request).expect("a meaning").details.expected
    };
    let fields = [REST, typed("InvalidSignatureException")];
    let words = message("Credential should be scoped to a valid region, not 'us-east-1'. ");
    let host = "abc123.execute-api.eu-west-1.amazonaws.com";
    assert_eq!(expected(403, &fields, &words, host, "us-east-1").as_deref(), Some("eu-west-1"));
    assert_eq!(expected(403, &fields, &words, host, "eu-west-1"), None);
    assert_eq!(expected(403, &fields, &words, "eu-west-1.example.com", "us-east-1"), None);
    let words = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'a' is wrong; expecting \
                 'eu-central-1'</Message></Error>";
    assert_eq!(expected(400, &[S3], words, host, "us-east-1").as_deref(), Some("eu-central-1"));
    let words = words.replace("eu-central-1", "x\u{1b}[31m; rm");
    assert_eq!(expected(400, &[S3], &words, host, "eu-west-1"), None);
}

#[test]
fn skew_is_measured_by_the_gateways_words_or_by_its_date() {
    let fields = [REST, typed("InvalidSignatureException")];
    let dated = [REST, typed("InvalidSignatureException"), ("date", "Sun, 12 Feb 2017 17:49:38 GMT")];
    let s3 = "<Error><Code>RequestTimeTooSkewed</Code><RequestTime>20170212T175938Z</RequestTime>\
              <ServerTime>2017-02-12T18:19:39Z</ServerTime></Error>";
    for (fields, body, seconds, cause) in [
        (
            &fields[..],
            message(
                "Signature expired: 20170212T175938Z is now earlier than 20170215T145534Z (20170215T150034Z - 5 min.)",
            ),
            Some(-248_456),
            "the signing time is 2 d 21 h behind the gateway's clock",
        ),
        (
            &fields,
            message(
                "Signature not yet current: 20170212T175938Z is still later than 20170212T175726Z (20170212T175226Z + 5 min.)",
            ),
            Some(432),
            "the signing time is 7 min 12 s ahead of the gateway's clock",
        ),
        (
            &dated,
            message("Signature not yet current"),
            Some(600),
            "the signing time is 10 min 0 s ahead of the gateway's clock",
        ),
        (&fields, message("Signature expired"), None, "the signing time is behind the gateway's clock"),
        (&[S3], s3.to_owned(), Some(-1201), "the signing time is 20 min 1 s behind the gateway's clock"),
    ] {
        let meaning = of(403, fields, &body, &request()).expect("a meaning");
        assert_eq!((meaning.name, meaning.details.skew_seconds), ("clock-skew", seconds), "{body}");
        assert_eq!(meaning.cause, cause);
    }
}

#[test]
fn a_difference_is_shown_without_secrets() {
    let theirs = OURS
        .replace("/prod/orders", "/orders")
        .replace("s3cret", "0ther")
        .replace("S3CRET", "0THER")
        .replace("host:abc123.execute-api.eu-west-1.amazonaws.com", "host:api.example.com");
    let body = message(&format!(
        "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for this \
         request should have been\n'{theirs}'\n\nThe String-to-Sign should have been\n'x'\n"
    ));
    let meaning = of(403, &[REST, typed("InvalidSignatureException")], &body, &request()).expect("a meaning");
    let expected = serde_json::json!({
        "name": "signature-differs",
        "cause": "the gateway received another request than was signed; these parts differ: path, query, header host, \
                  header x-amz-security-token",
        "cure": "set sign-host to api.example.com, under which the API receives the request",
        "difference": [
            { "part": "path", "ours": "/prod/orders", "theirs": "/orders" },
            { "part": "query", "ours": "a=1&token=(redacted)", "theirs": "a=1&token=(redacted)" },
            {
                "part": "header host",
                "ours": "abc123.execute-api.eu-west-1.amazonaws.com",
                "theirs": "api.example.com",
            },
            { "part": "header x-amz-security-token", "ours": "(redacted)", "theirs": "(redacted)" },
        ],
    });
    assert_eq!(serde_json::to_value(&meaning).expect("JSON"), expected);
    let same = body.replace(&theirs.replace('\n', "\\n"), &OURS.replace('\n', "\\n"));
    let meaning = of(403, &[REST, typed("InvalidSignatureException")], &same, &request()).expect("a meaning");
    assert_eq!(meaning.details.difference, Some(Vec::new()));
}

#[test]
fn text_of_an_upstream_cannot_inject_log_lines() {
    let evil = "\u{1b}[31m\u{202e}a\u{2066}b\u{200f}c";
    let body = message(&format!(
        "User: {evil} is not authorized to perform: {evil} on resource: {}\nforged: line",
        "x".repeat(3_000)
    ));
    let meaning = of(403, &[REST, typed("AccessDeniedException")], &body, &request()).expect("a meaning");
    let text = serde_json::to_string(&meaning).expect("JSON");
    assert!(meaning.cause.starts_with("[31mabc is not allowed [31mabc on xxx"), "{text}");
    assert_eq!(meaning.cause.chars().count(), 2000);
    assert_eq!(meaning.details.policy, None);
    for bad in ['\u{1b}', '\u{202e}', '\u{2066}', '\u{200f}', '\n'] {
        assert!(!text.contains(bad), "{text}");
    }
    assert!(!text.contains("\\u") && !text.contains("\\n"), "{text}");
}

#[test]
fn a_saved_answer_has_the_head_that_curl_prints_or_none() {
    let body = message("Forbidden");
    let with_head = format!(
        "HTTP/1.1 200 Connection established\r\n\r\nHTTP/2 403 \r\nx-amzn-requestid: 1\r\nx-amzn-errortype: \
         ForbiddenException\r\n\r\n{body}"
    );
    let without_marks = format!("HTTP/1.1 403 Forbidden\n\n{body}");
    for (saved, expected) in [
        (body.as_str(), Some("api-key")),
        (&with_head, Some("api-key")),
        (&without_marks, None),
        ("HTTP/1.1 200 OK\r\n\r\n{}", None),
        ("HTTP/1.1 x\r\n\r\n", None),
        ("HTTP/1.1 403", None),
        ("", None),
    ] {
        let (head, rest) = AnswerHead::of_saved(saved);
        let meaning = head.and_then(|head| Meaning::of_answer(&head, rest.as_bytes(), &request()));
        assert_eq!(meaning.map(|meaning| meaning.name), expected, "{saved}");
    }
}

#[test]
fn failures_of_the_proxy_have_cause_and_cure_too() {
    let origin = Some("http://evil.example".to_owned());
    for (error, name, cause, cure) in [
        (
            ProxyError::Refused(Refusal::CrossSite { origin }),
            "cross-site",
            "pages of http://evil.example may not call the proxy",
            "if they should, start it with --allow-origin http://evil.example",
        ),
        (
            ProxyError::Refused(Refusal::HostNotAllowed { host: "a.example".to_owned() }),
            "host-not-allowed",
            "the proxy does not answer under the name \"a.example\"",
            "if it should, start it with --allow-host a.example",
        ),
        (
            ProxyError::Refused(Refusal::Method),
            "method-not-allowed",
            "CONNECT and TRACE are not forwarded",
            "use another method",
        ),
        (
            ProxyError::BodyTooLarge { limit: 7 },
            "body-too-large",
            "the request body is larger than 7 bytes",
            "to let it pass, start the proxy with a larger --max-body",
        ),
        (
            ProxyError::Target(TargetError::TooLong),
            "uri-too-long",
            "the request target is longer than 10240 bytes",
            "shorten the path or the query, since API Gateway accepts no more",
        ),
        (
            ProxyError::Overloaded(Limit::InFlight),
            "overloaded",
            "the proxy has reached its limit on in-flight (--max-in-flight); try again in a moment",
            "wait as Retry-After says, or raise the limit",
        ),
        (
            ProxyError::NoRoute,
            "no-route",
            "no route's path is a prefix of the request's path",
            "add a [[route]] for the path, or an upstream for /",
        ),
    ] {
        let meaning = Meaning::of_error(&error);
        assert_eq!((meaning.name, &*meaning.cause, &*meaning.cure), (name, cause, cure));
    }
}
