use super::*;

fn refusal(operation: Operation, code: &str, message: &str) -> Refusal {
    let body = serde_json::json!({"__type": code, "message": message}).to_string();
    let answer =
        CognitoResponse { status: 400, error_type: None, retry_after: None, body: body.into_bytes() };
    Refusal::read(operation, &answer, &[]).expect("marked as Cognito's")
}

#[test]
fn codes_and_messages_have_causes() {
    let not_authorized = "NotAuthorizedException";
    for (code, message, cause) in [
        (not_authorized, "Incorrect username or password.", Cause::WrongPassword),
        (not_authorized, "Password attempts exceeded", Cause::LockedOut),
        (not_authorized, "Refresh Token has been revoked", Cause::RefreshTokenInvalid),
        (not_authorized, "Refresh Token has expired", Cause::RefreshTokenInvalid),
        (not_authorized, "Invalid Refresh Token.", Cause::RefreshTokenInvalid),
        (not_authorized, "Access Token has been revoked", Cause::RefreshTokenInvalid),
        (not_authorized, "Unable to verify secret hash for client abc", Cause::ClientSecret),
        (not_authorized, "SecretHash does not match for the client: abc", Cause::ClientSecret),
        (
            not_authorized,
            "Client abc is configured with secret but SECRET_HASH was not received",
            Cause::ClientSecret,
        ),
        (not_authorized, "Invalid session for the user, session is expired.", Cause::SignInExpired),
        (not_authorized, "Invalid code or auth state for the user.", Cause::SignInExpired),
        (not_authorized, "User is disabled.", Cause::UserDisabled),
        (not_authorized, "Something else", Cause::NotAuthorized),
        ("RefreshTokenReuseException", "Refresh token reuse", Cause::RefreshTokenReused),
        ("UserNotFoundException", "User does not exist.", Cause::UserNotFound),
        ("UserNotConfirmedException", "User is not confirmed.", Cause::UserNotConfirmed),
        ("PasswordResetRequiredException", "", Cause::PasswordResetRequired),
        ("InvalidPasswordException", "Password not long enough", Cause::NewPasswordRejected),
        ("CodeMismatchException", "Invalid code", Cause::WrongCode),
        ("EnableSoftwareTokenMFAException", "Code mismatch", Cause::WrongCode),
        ("ExpiredCodeException", "Your software token has already been used once.", Cause::CodeExpired),
        (
            "InvalidParameterException",
            "USER_PASSWORD_AUTH flow not enabled for this client",
            Cause::FlowDisabled,
        ),
        ("InvalidParameterException", "Initiate Auth method not supported.", Cause::FlowDisabled),
        ("InvalidParameterException", "Missing required parameter USERNAME", Cause::InvalidParameter),
        ("ResourceNotFoundException", "User pool client abc does not exist.", Cause::ClientUnknown),
        ("ResourceNotFoundException", "User pool eu-west-1_A does not exist.", Cause::PoolUnknown),
        ("ResourceNotFoundException", "Device does not exist.", Cause::DeviceUnknown),
        ("UserLambdaValidationException", "PreTokenGeneration failed", Cause::Trigger),
        ("UnexpectedLambdaException", "PreTokenGeneration invocation failed", Cause::Unavailable),
        ("TooManyRequestsException", "Rate exceeded", Cause::Unavailable),
        ("ThrottlingException", "Rate exceeded", Cause::Unavailable),
        ("TooManyFailedAttemptsException", "", Cause::LockedOut),
        ("ForbiddenException", "", Cause::Firewall),
        ("FeatureUnavailableInTierException", "", Cause::Unsupported),
        ("CognitoLocal#Unsupported", "Cognito Local unsupported feature", Cause::Unsupported),
        ("SomethingNewException", "", Cause::Unknown),
    ] {
        assert_eq!(refusal(Operation::InitiateAuth, code, message).cause, cause, "{code}: {message}");
    }
}

#[test]
fn the_code_is_the_bare_name_wherever_it_stands() {
    for code in [
        "NotAuthorizedException",
        "com.amazonaws.cognito#NotAuthorizedException",
        "NotAuthorizedException:http://internal.amazon.com/coral/",
        "aws#NotAuthorizedException:x,y",
    ] {
        assert_eq!(refusal(Operation::InitiateAuth, code, "").code, "NotAuthorizedException");
        let answer = CognitoResponse {
            status: 400,
            error_type: Some(code.to_owned()),
            retry_after: None,
            body: br#"{"__type":"Other","Message":"words"}"#.to_vec(),
        };
        let refusal = Refusal::read(Operation::InitiateAuth, &answer, &[]).expect("marked as Cognito's");
        assert_eq!((refusal.code.as_str(), refusal.message.as_str()), ("NotAuthorizedException", "words"));
    }
}

#[test]
fn a_code_that_is_not_known_is_judged_by_its_status() {
    for (status, cause) in [
        (500, Cause::Unavailable),
        (503, Cause::Unavailable),
        (429, Cause::Unavailable),
        (501, Cause::Unsupported),
        (400, Cause::Unknown),
    ] {
        let body = br#"{"__type":"SomethingNew"}"#.to_vec();
        let answer = CognitoResponse { status, error_type: None, retry_after: None, body };
        let refusal = Refusal::read(Operation::InitiateAuth, &answer, &[]).expect("marked as Cognito's");
        assert_eq!(refusal.cause, cause, "{status}");
    }
}

#[test]
fn an_answer_without_cognitos_headers_is_not_a_refusal() {
    for body in ["", "<html>", "{}", r#"{"message":"Forbidden"}"#, r#"{"code":"BLOCKED"}"#, r#"{"code":403}"#]
    {
        let answer = CognitoResponse { status: 403, error_type: None, retry_after: None, body: body.into() };
        assert_eq!(Refusal::read(Operation::InitiateAuth, &answer, &[]), None, "{body}");
    }
    let body = br#"{"code":"NotAuthorizedException","message":"User is disabled."}"#.to_vec();
    let answer = CognitoResponse { status: 400, error_type: None, retry_after: None, body };
    let refusal = Refusal::read(Operation::InitiateAuth, &answer, &[]);
    assert_eq!(refusal.map(|refusal| refusal.cause), Some(Cause::UserDisabled));
}

#[test]
fn verdicts_differ_between_sign_in_and_renewal() {
    let (sign_in, renewal) = (Operation::InitiateAuth, Operation::GetTokensFromRefreshToken);
    let transient = Verdict::Transient { retry_after: None };
    for (operation, code, message, expected) in [
        (renewal, "NotAuthorizedException", "Invalid Refresh Token", Verdict::SessionOver),
        (renewal, "NotAuthorizedException", "Words of tomorrow", Verdict::SessionOver),
        (renewal, "RefreshTokenReuseException", "", Verdict::SessionOver),
        (renewal, "UserLambdaValidationException", "", transient),
        (renewal, "TooManyRequestsException", "", transient),
        (sign_in, "InternalErrorException", "", transient),
        (sign_in, "NotAuthorizedException", "Invalid session for the user.", transient),
    ] {
        assert_eq!(refusal(operation, code, message).verdict(), expected, "{code}: {message}");
    }
    for (operation, code, message) in [
        (sign_in, "NotAuthorizedException", "Incorrect username or password."),
        (sign_in, "NotAuthorizedException", "Words of tomorrow"),
        (sign_in, "UserLambdaValidationException", ""),
        (sign_in, "PasswordResetRequiredException", ""),
        (renewal, "PasswordResetRequiredException", ""),
        (renewal, "NotAuthorizedException", "User is disabled."),
    ] {
        let verdict = refusal(operation, code, message).verdict();
        assert!(matches!(verdict, Verdict::PersonNeeded { .. }), "{code}: {message}: {verdict:?}");
    }
}

#[test]
fn mistakes_of_configuration_name_the_setting() {
    for (code, message, setting) in [
        ("NotAuthorizedException", "Unable to verify secret hash for client abc", "client-secret-file"),
        ("ResourceNotFoundException", "User pool client abc does not exist.", "client-id"),
        ("ResourceNotFoundException", "User pool eu-west-1_A does not exist.", "user-pool-id"),
        ("InvalidParameterException", "USER_SRP_AUTH flow not enabled for this client", "auth-flow"),
    ] {
        for operation in [Operation::InitiateAuth, Operation::GetTokensFromRefreshToken] {
            match refusal(operation, code, message).verdict() {
                Verdict::Misconfigured { settings, advice } => {
                    assert!(settings.contains(&setting), "{message}");
                    assert!(advice.contains(setting), "{message}");
                }
                other => panic!("{message}: {other:?}"),
            }
        }
    }
}

#[test]
fn messages_repeat_no_secret_and_stay_on_a_line() {
    let body = serde_json::json!({
        "__type": "InvalidParameterException",
        "message": format!("Value 'hunter2' at 'password'\nfailed{}", "x".repeat(1000)),
    });
    let answer = CognitoResponse {
        status: 400,
        error_type: None,
        retry_after: None,
        body: body.to_string().into_bytes(),
    };
    let refusal = Refusal::read(Operation::InitiateAuth, &answer, &["hunter2", "at"]);
    let message = refusal.expect("marked as Cognito's").message;
    assert!(message.starts_with("Value '***' at 'password' failedxxx"), "{message}");
    assert_eq!(message.chars().count(), MAX_MESSAGE);
}
