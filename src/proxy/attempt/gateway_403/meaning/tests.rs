use super::*;

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your \
                        AWS Secret Access Key and signing method. Consult the service documentation for details.";

fn denied_to(principal: &str, action: &str, resource: &str, because: Option<&str>) -> Meaning {
    Meaning::Denied {
        principal: Some(principal.into()),
        action: Some(action.into()),
        resource: Some(resource.into()),
        because: because.map(str::to_owned),
    }
}

#[test]
fn the_words_of_gateways_have_their_meaning() {
    let role = "arn:aws:sts::123456789012:assumed-role/Auth/CognitoIdentityCredentials";
    let api = "arn:aws:execute-api:us-east-1:********9012:api/stage/GET/x";
    let skew = "Signature expired: 20170212T175938Z is now earlier than 20170215T145534Z \
                (20170215T150034Z - 5 min.)";
    let early = "Signature not yet current: A is still later than B (C + 5 min.)";
    let rest = |text: String| serde_json::json!({ "message": text }).to_string();
    let table: Vec<(Option<&str>, String, Option<Meaning>)> = vec![
        (
            Some("MissingAuthenticationTokenException"),
            rest("Missing Authentication Token".into()),
            Some(Meaning::NoSuchRoute),
        ),
        // The owner of an API may have replaced the body.
        (Some("MissingAuthenticationTokenException"), "nothing here".into(), Some(Meaning::NoSuchRoute)),
        (
            Some("AccessDeniedException"),
            format!(
                "{{\"Message\":\"User: {role} is not authorized to perform: execute-api:Invoke on resource: {api} \
                 with an explicit deny\"}}"
            ),
            Some(denied_to(role, "execute-api:Invoke", api, Some("explicit deny"))),
        ),
        (
            Some("AccessDeniedException"),
            rest(format!(
                "User: {role} is not authorized to perform: execute-api:Invoke on resource: {api} because no \
                 identity-based policy allows the execute-api:Invoke action"
            )),
            Some(denied_to(
                role,
                "execute-api:Invoke",
                api,
                Some("no identity-based policy allows the execute-api:Invoke action"),
            )),
        ),
        (
            Some("AccessDeniedException"),
            rest(format!(
                "User: anonymous is not authorized to perform: execute-api:Invoke on resource: {api}"
            )),
            Some(denied_to("anonymous", "execute-api:Invoke", api, None)),
        ),
        (
            Some("ExpiredTokenException"),
            rest("The security token included in the request is expired".into()),
            Some(Meaning::TokenExpired),
        ),
        (Some("ExpiredTokenException"), "nothing here".into(), Some(Meaning::TokenExpired)),
        (
            None,
            rest("The security token included in the request is expired".into()),
            Some(Meaning::TokenExpired),
        ),
        (None, rest("Missing Authentication Token".into()), Some(Meaning::NoSuchRoute)),
        (
            Some("UnrecognizedClientException"),
            rest("The security token included in the request is invalid.".into()),
            Some(Meaning::TokenInvalid),
        ),
        (
            Some("InvalidSignatureException"),
            rest(skew.into()),
            Some(Meaning::ClockSkew { words: skew.into() }),
        ),
        (
            Some("InvalidSignatureException"),
            rest(early.into()),
            Some(Meaning::ClockSkew { words: early.into() }),
        ),
        (
            Some("InvalidSignatureException"),
            rest("Credential should be scoped to a valid region. ".into()),
            Some(Meaning::WrongRegion { words: "Credential should be scoped to a valid region.".into() }),
        ),
        (
            Some("IncompleteSignatureException"),
            rest("Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.".into()),
            Some(Meaning::WrongAlgorithm {
                words: "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.".into(),
            }),
        ),
        (
            Some("InvalidSignatureException"),
            rest("Credential should be scoped to correct service: 'execute-api'. ".into()),
            Some(Meaning::WrongService { expected: Some("execute-api".into()) }),
        ),
        (
            Some("InvalidSignatureException"),
            rest(MISMATCH.into()),
            Some(Meaning::SignatureDiffers { parts: None }),
        ),
        (
            Some("InvalidSignatureException"),
            rest(format!(
                "{MISMATCH}\n\nThe Canonical String for this request should have been\n\
                 'GET\n/b\n\nhost:other\n\nhost\ne3'\n\nThe String-to-Sign should have been\n'x'\n"
            )),
            Some(Meaning::SignatureDiffers { parts: Some(vec![Part::Path, Part::Header("host".into())]) }),
        ),
        (
            Some("InvalidSignatureException"),
            rest(format!(
                "{MISMATCH}\n\nThe Canonical String for this request should have been\n'{OURS}'\n\n\
                 The String-to-Sign should have been\n'x'\n"
            )),
            Some(Meaning::SignatureDiffers { parts: Some(Vec::new()) }),
        ),
        (
            Some("IncompleteSignatureException"),
            rest("Authorization header requires 'Credential' parameter.".into()),
            Some(Meaning::Incomplete),
        ),
        (Some("ForbiddenException"), rest("Forbidden".into()), Some(Meaning::Forbidden)),
        // An HTTP API.
        (None, rest("Forbidden".into()), Some(Meaning::Forbidden)),
        // A Lambda function URL.
        (
            Some("AccessDeniedException"),
            "{\"Message\":\"Forbidden. For troubleshooting Function URL authorization issues, see: \
             https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html\"}"
                .into(),
            Some(Meaning::FunctionUrl),
        ),
        (
            Some("InvalidSignatureException"),
            format!("{{\"message\":\"{MISMATCH}\"}}"),
            Some(Meaning::SignatureDiffers { parts: None }),
        ),
        // S3.
        (
            None,
            "<Error><Code>RequestTimeTooSkewed</Code></Error>".into(),
            Some(Meaning::ClockSkew { words: "<Error><Code>RequestTimeTooSkewed</Code></Error>".into() }),
        ),
        // A backend's own.
        (None, rest("You may not".into()), None),
        (Some("SomethingElse"), rest("Forbidden".into()), None),
        (None, String::new(), None),
    ];
    for (error_type, body, expected) in table {
        assert_eq!(Meaning::of(error_type, &body, OURS), expected, "{error_type:?} {body}");
    }
}

const OURS: &str = "GET\n/a\n\nhost:one\n\nhost\ne3";

#[test]
fn text_of_an_upstream_cannot_inject_log_lines() {
    let body = format!(
        "Signature expired: \u{1b}[31m\u{202e}a\u{2066}b\u{200f}c {}\nforged line",
        "x".repeat(1_000)
    );
    let meaning = Meaning::of(Some("InvalidSignatureException"), &body, OURS).expect("known");
    let Meaning::ClockSkew { words } = meaning else { panic!("{meaning:?}") };
    assert!(words.starts_with("Signature expired: [31mabc x"), "{words}");
    assert_eq!(words.chars().count(), 600);
    assert!(words.ends_with('x'), "one line: {words}");
}
