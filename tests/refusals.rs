//! What a refusal or a failure of the gateway means: in the log, from `explain` and from `call`, while the answer goes down
//! untouched.

#![cfg(feature = "sandbox")]

mod support;

use std::collections::BTreeMap;

use countersign::sandbox::{Fault, INVOKE, Sandbox};
use serde_json::Value;
use support::{
    Connection,
    program::{self, Program},
    upstream::Upstream,
};

/// An answer in a gateway's words, and what it means.
struct Case {
    /// Status line and headers.
    head: &'static str,
    body: &'static str,
    name: &'static str,
    cause: &'static str,
    cure: &'static str,
}

impl Case {
    fn answer(&self) -> String {
        format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n\r\n{}", self.head, self.body.len(), self.body)
    }

    /// As `call` and `explain` print it.
    fn printed(&self) -> String {
        let failed = self.head.starts_with('5');
        let summary = if failed { "the gateway failed to answer" } else { "the gateway refused the request" };
        format!("{summary}: {}\n  tip: {}\n", self.cause, self.cure)
    }
}

/// Each at the path of its place in the list.
const CASES: &[Case] = &[
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: MissingAuthenticationTokenException",
        body: "{\"message\":\"Missing Authentication Token\"}",
        name: "no-such-route",
        cause: "the stage has no route GET /prod/0; API Gateway calls that \"Missing Authentication Token\"",
        cure: "compare upstream and the path with the invoke URL of the stage, and deploy the API if the route is new; if the route is there, something on the way removes Authorization",
    },
    Case {
        head: "404 Not Found\r\napigw-requestid: h",
        body: "{\"message\":\"Not Found\"}",
        name: "no-such-route",
        cause: "the HTTP API has no route GET /prod/1; or the application answers with the words of the gateway",
        cure: "compare upstream and the path with the routes of the API and with the stage in its invoke URL",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: AccessDeniedException",
        body: "{\"Message\":\"User: arn:aws:sts::123456789012:assumed-role/Auth/CognitoIdentityCredentials is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders\"}",
        name: "denied",
        cause: "the role Auth is not allowed execute-api:Invoke on arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders: no policy allows it",
        cure: "add a statement to a policy of the role Auth: {\"Effect\": \"Allow\", \"Action\": \"execute-api:Invoke\", \"Resource\": \"arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/orders\"}",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: AccessDeniedException",
        body: "{\"message\":\"User: arn:aws:sts::123456789012:assumed-role/Auth/CognitoIdentityCredentials is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders with an explicit deny in an identity-based policy\"}",
        name: "explicit-deny",
        cause: "the role Auth is not allowed execute-api:Invoke on arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders: a statement with the effect Deny in a policy of the role forbids it",
        cure: "find the Deny in a policy of the role and narrow it, its conditions (source address, VPC endpoint) included; a statement that allows it changes nothing",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: AccessDeniedException",
        body: "{\"message\":\"User: arn:aws:sts::123456789012:assumed-role/Auth/CognitoIdentityCredentials is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders because no resource-based policy allows the execute-api:Invoke action\"}",
        name: "resource-policy",
        cause: "the role Auth is not allowed execute-api:Invoke on arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders: the resource policy of the API does not allow it",
        cure: "add a statement to the resource policy of the API and deploy the API: {\"Effect\": \"Allow\", \"Principal\": {\"AWS\": \"arn:aws:iam::123456789012:role/Auth\"}, \"Action\": \"execute-api:Invoke\", \"Resource\": \"arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/orders\"}",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: AccessDeniedException",
        body: "{\"message\":\"User: arn:aws:sts::123456789012:assumed-role/Auth/CognitoIdentityCredentials is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders because no session policy allows the execute-api:Invoke action\"}",
        name: "session-policy",
        cause: "the role Auth is not allowed execute-api:Invoke on arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders: the session policy of the credentials does not allow it, which Cognito adds for guests in the enhanced flow",
        cure: "sign in as a user, or choose the classic flow with the setting classic-flow-role-arn; the role's own policy changes nothing",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: AccessDeniedException",
        body: "{\"message\":\"User: arn:aws:sts::123456789012:assumed-role/Auth/CognitoIdentityCredentials is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders because no permissions boundary allows the execute-api:Invoke action\"}",
        name: "permissions-boundary",
        cause: "the role Auth is not allowed execute-api:Invoke on arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/orders: the permissions boundary of the role does not allow it, whatever the role's own policies allow",
        cure: "add a statement to the permissions boundary of the role: {\"Effect\": \"Allow\", \"Action\": \"execute-api:Invoke\", \"Resource\": \"arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/orders\"}",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: InvalidSignatureException",
        body: "{\"message\":\"The request signature we calculated does not match the signature you provided.\"}",
        name: "signature-differs",
        cause: "the gateway computed another signature, and does not show from what: the request was changed on the way, or signed with another Host or secret key",
        cure: "set sign-host if the API expects another Host than the name in upstream; compare \"countersign explain\" with what the API receives",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: InvalidSignatureException",
        body: "{\"message\":\"Credential should be scoped to a valid Region, not 'eu-west-1'. \"}",
        name: "wrong-region",
        cause: "the request is signed for the region eu-west-1, which is not the region of the API",
        cure: "set region to the region of the API; a custom domain does not show it, the API's own invoke URL does",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: InvalidSignatureException",
        body: "{\"message\":\"Credential should be scoped to correct service: 'lambda'. \"}",
        name: "wrong-service",
        cause: "the request is signed for the service execute-api, which is not the service of the API",
        cure: "set service to lambda",
    },
    Case {
        head: "400 Bad Request\r\nx-amz-request-id: s",
        body: "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region></Error>",
        name: "wrong-region",
        cause: "the request is signed for the region eu-west-1, which is not the region of the API",
        cure: "set region to eu-central-1",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: IncompleteSignatureException",
        body: "{\"message\":\"Authorization header requires 'Credential' parameter. Authorization=Bearer s3cret\"}",
        name: "authorization-rewritten",
        cause: "the signature did not arrive as it was sent: something between the proxy and the gateway replaced or changed Authorization or x-amz-date",
        cure: "look for a CDN, a load balancer or a forward proxy on the way that sets Authorization, and let the setting upstream name the API itself",
    },
    Case {
        head: "401 Unauthorized\r\nx-amzn-requestid: r\r\nx-amzn-errortype: UnauthorizedException",
        body: "{\"message\":\"Unauthorized\"}",
        name: "other-authorizer",
        cause: "the route does not use AWS_IAM: its Cognito, JWT or Lambda authorizer found no token that it accepts, since the proxy replaces Authorization by the signature",
        cure: "set the authorization of the route to AWS_IAM, or call this route without the proxy, with the token that its authorizer expects",
    },
    Case {
        head: "403 Forbidden\r\nx-amzn-requestid: r\r\nx-amzn-errortype: ForbiddenException",
        body: "{\"message\":\"Forbidden\"}",
        name: "api-key",
        cause: "it gives no reason; most likely the method requires an API key and none was sent; or the API is private and was called under a name that does not tell which API is meant; or AWS WAF blocked the request",
        cure: "add set-header = [\"x-api-key: KEY\"] with a key whose usage plan includes this stage; or set sign-host to API_ID.execute-api.eu-west-1.amazonaws.com, or send the header x-apigw-api-id; or look at the sampled requests of the API's web ACL",
    },
    Case {
        head: "403 Forbidden\r\napigw-requestid: h",
        body: "{\"message\":\"Forbidden\"}",
        name: "forbidden",
        cause: "it gives no reason; most likely the role's policy does not allow execute-api:Invoke; or the credentials belong to another account; or the application answers with the words of the gateway",
        cure: "allow it in a policy of the role: {\"Effect\": \"Allow\", \"Action\": \"execute-api:Invoke\", \"Resource\": \"arn:aws:execute-api:eu-west-1:*:*/*\"}; the access log of the API has the reason as $context.authorizer.error",
    },
    Case {
        head: "403 Forbidden\r\ncontent-type: text/html",
        body: "<html><head><title>403 Forbidden</title></head></html>",
        name: "firewall",
        cause: "the answer is a web page without a request id, so it does not come from the API: a firewall (AWS WAF) or a proxy in front of it blocked the request",
        cure: "look at the sampled requests of the web ACL, which name the rule that matched, and change that rule; check also which proxy HTTPS_PROXY names",
    },
    Case {
        head: "429 Too Many Requests\r\nx-amzn-requestid: r\r\nx-amzn-errortype: TooManyRequestsException",
        body: "{\"message\":\"Too Many Requests\"}",
        name: "throttled",
        cause: "requests come faster than the account, the stage, the method or the usage plan allows",
        cure: "send fewer at once and repeat with growing pauses, or raise the rate and burst limits",
    },
    Case {
        head: "429 Too Many Requests\r\nx-amzn-requestid: r\r\nx-amzn-errortype: LimitExceededException",
        body: "{\"message\":\"Limit Exceeded\"}",
        name: "quota-exceeded",
        cause: "the API key has used up the quota of its usage plan",
        cure: "wait for the next period of the quota, or raise the quota of the usage plan",
    },
    Case {
        head: "504 Gateway Timeout\r\nx-amzn-requestid: r\r\nx-amzn-errortype: InternalServerErrorException",
        body: "{\"message\":\"Endpoint request timed out\"}",
        name: "integration-timeout",
        cause: "the function or server behind the gateway did not answer within the integration timeout: 29 s for a REST API unless it is raised, 30 s for an HTTP API",
        cure: "make the work shorter or asynchronous, or raise the integration timeout of a regional REST API",
    },
    Case {
        head: "502 Bad Gateway\r\nx-amzn-requestid: r\r\nx-amzn-errortype: InternalServerErrorException",
        body: "{\"message\":\"Internal server error\"}",
        name: "malformed-integration-response",
        cause: "the function behind the gateway failed, or its answer is not in the form of a Lambda proxy integration",
        cure: "return an object with statusCode and a body that is a string; look at the API's execution log in CloudWatch and at the log of the function or server behind it",
    },
    Case {
        head: "500 Internal Server Error\r\nx-amzn-requestid: r\r\nx-amzn-errortype: InternalServerErrorException",
        body: "{\"message\":\"Internal server error\"}",
        name: "integration-failed",
        cause: "the gateway could not call the integration or use its answer: the function failed, the gateway may not invoke it, or a mapping template is wrong",
        cure: "look at the API's execution log in CloudWatch and at the log of the function or server behind it",
    },
    Case {
        head: "413 Payload Too Large\r\nx-amzn-requestid: r\r\nx-amzn-errortype: RequestTooLargeException",
        body: "{\"message\":\"Request Too Long\"}",
        name: "gateway-body-too-large",
        cause: "the body is larger than the gateway accepts: 10 MiB for API Gateway, 6 MiB for a Lambda function",
        cure: "send less at once, or upload to S3 and send the key of the object",
    },
    Case {
        head: "400 Bad Request\r\nx-amzn-requestid: r\r\nx-amzn-errortype: BadRequestException",
        body: "{\"message\":\"Missing required request parameters: [page]\"}",
        name: "missing-parameters",
        cause: "the request validator of the method found parameters missing: page",
        cure: "send these as path, query or header parameters, as the method defines them",
    },
    Case {
        head: "415 Unsupported Media Type\r\nx-amzn-requestid: r\r\nx-amzn-errortype: UnsupportedMediaTypeException",
        body: "{\"message\":\"Unsupported Media Type\"}",
        name: "unsupported-media-type",
        cause: "the integration of the method has no mapping template for the Content-Type of the request",
        cure: "send the Content-Type that the method expects, application/json usually",
    },
];

/// An upstream that answers `/prod/N` with the case of that number.
async fn staged() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let number =
                request.split(' ').nth(1).and_then(|path| path.strip_prefix("/prod/")?.parse::<usize>().ok());
            wire.write(CASES[number.expect("a number")].answer()).await;
        }
    })
    .await
}

/// A running `serve` and a connection to it.
async fn connect(program: &Program) -> Connection {
    Connection::open(program::address(&program.logged("ready", "url").await)).await
}

/// The lines with a meaning, by the id of their request.
async fn meanings(program: &Program, count: usize) -> BTreeMap<String, Value> {
    program.stderr_lines("\"meaning\":", count).await;
    let log = program.stderr_so_far();
    let lines = log.lines().filter(|line| line.contains("\"meaning\":"));
    let values = lines.map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    values.map(|line| (line["request.id"].as_str().expect("an id").to_owned(), line)).collect()
}

fn words(line: &Value) -> [&str; 3] {
    ["meaning", "cause", "cure"].map(|name| line[name].as_str().unwrap_or_default())
}

#[tokio::test]
async fn the_log_has_cause_and_cure_of_each_refusal_and_failure() {
    let (upstream, sandbox, folder) = (staged().await, program::sandbox().await, program::folder());
    let mut command = program::serve(&sandbox, folder.path());
    command.env("COUNTERSIGN_UPSTREAM", format!("{}/prod", upstream.url()));
    let program = Program::start(command);
    let mut client = connect(&program).await;
    for (number, case) in CASES.iter().enumerate() {
        let head =
            format!("GET /{number} HTTP/1.1\r\nhost: localhost\r\nx-request-id: case-{number}\r\n\r\n");
        client.write(head).await;
        let (head, body) = client.answer().await;
        assert!(case.head.starts_with(&head.status.to_string()), "{number}: {}", head.status);
        assert_eq!(String::from_utf8_lossy(&body), case.body);
    }
    let lines = meanings(&program, CASES.len()).await;
    for (number, case) in CASES.iter().enumerate() {
        let line = &lines[&format!("case-{number}")];
        assert_eq!(words(line), [case.name, case.cause, case.cure], "{number}");
        assert_eq!(line["level"], "WARN");
    }
    assert!(!program.stderr_so_far().contains("s3cret"));
}

#[tokio::test]
async fn explain_and_call_say_the_same_as_the_log() {
    let (upstream, sandbox, folder) = (staged().await, program::sandbox().await, program::folder());
    let run = async |arguments: &[&str]| {
        let mut command = program::signed_in(arguments, &sandbox, folder.path());
        command.env("COUNTERSIGN_UPSTREAM", format!("{}/prod", upstream.url()));
        program::run(command).await
    };
    for (number, case) in CASES.iter().enumerate() {
        let path = format!("/{number}");
        std::fs::write(folder.path().join("answer"), case.answer()).expect("a file");
        let explained = run(&["explain", "GET", &path, "--compare", "answer"]).await;
        assert_eq!(explained.code, Some(0), "{number}: {}", explained.stderr);
        let end = format!("\n\n{}", case.printed());
        assert!(explained.stdout.ends_with(&end), "{number}: {}\n{end}", explained.stdout);
        let called = run(&["call", "GET", &path]).await;
        assert_eq!(called.code, Some(22), "{number}: {}", called.stderr);
        assert_eq!(called.stdout, case.body);
        assert_eq!(called.stderr, format!("countersign: {}", case.printed()), "{number}");
    }
}

/// What the log says of `GET path` in front of the sandbox, with some settings changed.
async fn of_sandbox(sandbox: &Sandbox, path: &str, changes: &[(&str, &str)]) -> Value {
    let folder = program::folder();
    let mut command = program::serve(sandbox, folder.path());
    command.envs(changes.iter().copied());
    let program = Program::start(command);
    let mut client = connect(&program).await;
    client.write(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-request-id: one\r\n\r\n")).await;
    assert_eq!(client.answer().await.0.status, 403);
    meanings(&program, 1).await.remove("one").expect("a line of the request")
}

#[tokio::test]
async fn a_rest_api_explains_itself_by_each_of_its_refusals() {
    let sandbox = program::sandbox().await;
    let origin = sandbox.api_url().trim_end_matches("/prod").to_owned();
    let line = of_sandbox(&sandbox, "/orders", &[("COUNTERSIGN_UPSTREAM", &format!("{origin}/test"))]).await;
    let cause =
        "the stage has no route GET /test/orders; API Gateway calls that \"Missing Authentication Token\"";
    assert_eq!(words(&line)[..2], ["no-such-route", cause]);
    let line = of_sandbox(&sandbox, "/denied", &[]).await;
    assert_eq!(line["meaning"], "denied");
    assert!(line["cure"].as_str().expect("text").contains("\"Action\": \"execute-api:Invoke\""), "{line}");
    let line = of_sandbox(&sandbox, "/x", &[("COUNTERSIGN_REGION", "us-east-1")]).await;
    let cause = "the request is signed for the region us-east-1, which is not the region of the API";
    assert_eq!(words(&line)[..2], ["wrong-region", cause]);
    let line = of_sandbox(&sandbox, "/x", &[("COUNTERSIGN_SERVICE", "lambda")]).await;
    assert_eq!([&line["meaning"], &line["cure"]], ["wrong-service", "set service to execute-api"]);
}

#[tokio::test]
async fn what_another_attempt_does_not_correct_is_explained() {
    for (code, message, name, cause) in [
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "token-expired",
            "the credentials that the request was signed with have expired",
        ),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            "token-invalid",
            "the access key or the session token is not known in eu-west-1: it belongs to another account or partition, \
             was deactivated, or the account has not enabled the region",
        ),
        (
            "InvalidSignatureException",
            "Signature expired: 20260101T000000Z is now earlier than 20260101T001500Z (20260101T002000Z - 5 min.)",
            "clock-skew",
            "the signing time is 20 min 0 s behind the gateway's clock",
        ),
    ] {
        let sandbox = program::sandbox().await;
        sandbox.faults().always(INVOKE, Fault::error(code, message));
        let line = of_sandbox(&sandbox, "/x", &[]).await;
        assert_eq!(words(&line)[..2], [name, cause]);
    }
}

#[tokio::test]
async fn an_api_that_takes_no_sigv4a_is_explained_by_the_setting() {
    let sandbox = program::sandbox().await;
    let folder = program::folder();
    let mut command = program::serve(&sandbox, folder.path());
    command.env_remove("COUNTERSIGN_REGION").env("COUNTERSIGN_REGION_SET", "eu-*");
    let program = Program::start(command);
    let mut client = connect(&program).await;
    client.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert_eq!(head.status, 403);
    assert!(String::from_utf8_lossy(&body).contains("Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'"));
    let line = program.stderr_line("\"meaning\":\"wrong-algorithm\"").await;
    assert!(line.contains("instead of region-set") && line.contains("\"region_set\":\"eu-*\""), "{line}");
    assert!(!line.contains("\"region\":"), "{line}");
}

const HEAD: &str =
    "HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: id-1\r\nx-amzn-errortype: InvalidSignatureException\r\n";

#[tokio::test]
async fn a_different_signature_is_explained_with_the_changed_part() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let field = |name: &str| {
                let line = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.expect("a signed request").to_owned()
            };
            let (host, date, token) = (field("host"), field("x-amz-date"), field("x-amz-security-token"));
            let body = serde_json::json!({ "message": format!(
                "The request signature we calculated does not match the signature you provided.\n\n\
                 The Canonical String for this request should have been\n\
                 'GET\n/changed\na=2\nhost:{host}\nx-amz-date:{date}\nx-amz-security-token:{token}\n\n\
                 host;x-amz-date;x-amz-security-token\n\
                 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'\n\n\
                 The String-to-Sign should have been\n'x'\n"
            ) })
            .to_string();
            wire.write(format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len())).await;
        }
    })
    .await;
    let sandbox = program::sandbox().await;
    let folder = program::folder();
    let mut command = program::serve(&sandbox, folder.path());
    command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    let program = Program::start(command);
    let mut client = connect(&program).await;
    client.write("GET /sent?a=1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (_, body) = client.answer().await;
    assert!(String::from_utf8_lossy(&body).contains("/changed"));
    let line = program.stderr_line("\"meaning\":\"signature-differs\"").await;
    let cause = "the gateway received another request than was signed; these parts differ: path, query";
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["cause"], cause);
    let line = line.to_string();
    let request = upstream.requests().remove(0);
    let token = request.lines().find_map(|line| line.strip_prefix("x-amz-security-token: "));
    assert!(!line.contains(token.expect("a token")), "{line}");
}

#[tokio::test]
async fn a_403_of_the_backend_is_not_interpreted() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 23\r\n\r\n{\"message\":\"Forbidden\"}")
                .await;
        }
    })
    .await;
    let sandbox = program::sandbox().await;
    let folder = program::folder();
    let mut command = program::serve(&sandbox, folder.path());
    command.env("COUNTERSIGN_UPSTREAM", upstream.url());
    let program = Program::start(command);
    let mut client = connect(&program).await;
    client.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await.1, b"{\"message\":\"Forbidden\"}");
    program.stderr_line("\"message\":\"request\"").await;
    program.signal("TERM").await;
    assert!(!program.ended().await.stderr.contains("meaning"));
}

#[tokio::test]
async fn refusals_of_the_proxy_have_cause_and_cure_as_well() {
    let (sandbox, folder) = (program::sandbox().await, program::folder());
    let mut command = program::serve(&sandbox, folder.path());
    // Nobody listens on this port.
    command.env("COUNTERSIGN_UPSTREAM", "http://127.0.0.1:1/prod");
    let program = Program::start(command);
    let mut client = connect(&program).await;
    client.write("GET / HTTP/1.1\r\nhost: localhost\r\nx-request-id: one\r\n\r\n").await;
    assert_eq!(client.answer().await.0.status, 502);
    let page =
        "GET / HTTP/1.1\r\nhost: localhost\r\norigin: http://evil.example\r\nx-request-id: two\r\n\r\n";
    client.write(page).await;
    assert_eq!(client.answer().await.0.status, 403);
    let lines = meanings(&program, 2).await;
    let cure = "check the setting upstream and the firewalls on the way";
    let called = {
        let mut command = program::signed_in(&["call", "GET", "/"], &sandbox, folder.path());
        command.env("COUNTERSIGN_UPSTREAM", "http://127.0.0.1:1/prod");
        program::run(command).await
    };
    assert!(
        called.stderr.starts_with("countersign: the upstream could not be connected to: "),
        "{}",
        called.stderr
    );
    assert!(called.stderr.ends_with(&format!("\n  tip: {cure}\n")), "{}", called.stderr);
    assert_eq!([&lines["one"]["meaning"], &lines["one"]["cure"]], ["upstream-refused", cure]);
    let cause = "pages of http://evil.example may not call the proxy";
    let cure = "if they should, start it with --allow-origin http://evil.example";
    assert_eq!(words(&lines["two"]), ["cross-site", cause, cure]);
}
