use super::*;

/// A person who has all answers written down.
#[derive(Debug, Default)]
struct Prepared {
    answers: VecDeque<&'static str>,
    asked: Vec<String>,
}

impl Prepared {
    fn new(answers: impl IntoIterator<Item = &'static str>) -> Self {
        Self { answers: answers.into_iter().collect(), asked: Vec::new() }
    }
}

impl Answers for Prepared {
    fn answer<'a>(&'a mut self, question: Question<'a>, _: SystemTime) -> AnswerFuture<'a> {
        let text = match &question {
            Question::AuthenticatorSetup { secret, url, rejected } => {
                format!("setup {} {} {rejected}", secret.expose_secret(), url.expose_secret())
            }
            other => format!("{other:?}"),
        };
        self.asked.push(text);
        let answer = self.answers.pop_front().map(SecretString::from);
        Box::pin(async move { answer.ok_or_else(|| question.unanswered()) })
    }
}

fn challenge(name: &str, parameters: &Value) -> HttpResponse {
    let mut parameters = parameters.clone();
    parameters["USER_ID_FOR_SRP"] = json!("internal");
    answer(200, &json!({"ChallengeName": name, "Session": "session-1", "ChallengeParameters": parameters}))
}

fn device() -> Device {
    Device {
        key: "eu-west-1_device".to_owned(),
        group_key: "group".to_owned(),
        password: SecretString::from("device-password"),
    }
}

struct Conversation {
    result: Result<SignedIn, Error>,
    requests: Vec<(String, Value)>,
    asked: Vec<String>,
}

async fn converse(
    flow: AuthFlow,
    password: Option<&str>,
    device: Option<&Device>,
    responses: impl IntoIterator<Item = HttpResponse>,
    answers: impl IntoIterator<Item = &'static str>,
) -> Conversation {
    let script = Script::new(responses);
    let client = script.client(UserPool { auth_flow: flow, client_secret: None, ..pool() });
    let mut prepared = Prepared::new(answers);
    let password = password.map(SecretString::from);
    let user = User { username: "alias@example.com", password: password.as_ref(), device };
    let result = client.sign_in(&user, &mut prepared).await;
    Conversation { result, requests: script.requests(), asked: prepared.asked }
}

impl Conversation {
    fn responses(&self, index: usize) -> &Value {
        &self.requests[index].1["ChallengeResponses"]
    }

    fn operations(&self) -> Vec<&str> {
        self.requests
            .iter()
            .map(|(target, _)| {
                target.strip_prefix("AWSCognitoIdentityProviderService.").expect("the service")
            })
            .collect()
    }
}

#[tokio::test]
async fn each_one_time_code_goes_under_its_own_name() {
    for (name, parameter, question) in [
        ("SMS_MFA", "SMS_MFA_CODE", "Sms"),
        ("SMS_OTP", "SMS_OTP_CODE", "Sms"),
        ("EMAIL_OTP", "EMAIL_OTP_CODE", "Email"),
        ("SOFTWARE_TOKEN_MFA", "SOFTWARE_TOKEN_MFA_CODE", "Authenticator"),
    ] {
        let asks = challenge(name, &json!({"CODE_DELIVERY_DESTINATION": "+*******99"}));
        let talk = converse(AuthFlow::Password, Some("pw"), None, [asks, tokens(None)], ["123456"]).await;
        talk.result.as_ref().expect("tokens");
        assert_eq!(*talk.responses(1), json!({"USERNAME": "internal", parameter: "123456"}));
        assert!(talk.asked[0].contains(question) && talk.asked[0].contains("+*******99"));
    }
}

#[tokio::test]
async fn a_new_password_goes_with_the_attributes_that_the_pool_lacks() {
    let asks = challenge(
        "NEW_PASSWORD_REQUIRED",
        &json!({"requiredAttributes": r#"["userAttributes.email"]"#, "userAttributes": "{}"}),
    );
    let weak = refused("InvalidPasswordException", "Password not long enough");
    let talk = converse(
        AuthFlow::Password,
        Some("temporary"),
        None,
        [asks, weak, tokens(None)],
        ["me@example.com", "short", "long enough"],
    )
    .await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(
        *talk.responses(2),
        json!({"USERNAME": "internal", "NEW_PASSWORD": "long enough",
            "userAttributes.email": "me@example.com"})
    );
    assert!(talk.asked[2].contains("Password not long enough"), "{:?}", talk.asked);
}

#[tokio::test]
async fn an_authenticator_is_set_up_with_the_session_that_each_step_returns() {
    let talk = converse(
        AuthFlow::Password,
        Some("pw"),
        None,
        [
            challenge("MFA_SETUP", &json!({"MFAS_CAN_SETUP": r#"["SOFTWARE_TOKEN_MFA"]"#})),
            answer(200, &json!({"SecretCode": "GEZDGNBVGY3TQOJQ", "Session": "session-2"})),
            refused("EnableSoftwareTokenMFAException", "Code mismatch"),
            answer(200, &json!({"Status": "SUCCESS", "Session": "session-3"})),
            tokens(None),
        ],
        ["000000", "123456"],
    )
    .await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(
        talk.operations()[1..],
        ["AssociateSoftwareToken", "VerifySoftwareToken", "VerifySoftwareToken", "RespondToAuthChallenge"]
    );
    assert_eq!(talk.requests[1].1, json!({"Session": "session-1"}));
    assert_eq!(talk.requests[3].1, json!({"Session": "session-2", "UserCode": "123456"}));
    assert_eq!(talk.requests[4].1["Session"], "session-3");
    assert_eq!(
        talk.asked[0],
        "setup GEZDGNBVGY3TQOJQ \
         otpauth://totp/Cognito:alias%40example.com?secret=GEZDGNBVGY3TQOJQ&issuer=Cognito false"
    );
    assert!(talk.asked[1].ends_with("true"));
}

#[tokio::test]
async fn a_second_factor_is_chosen_by_its_name() {
    let asks =
        challenge("SELECT_MFA_TYPE", &json!({"MFAS_CAN_CHOOSE": r#"["SMS_MFA","SOFTWARE_TOKEN_MFA"]"#}));
    let talk = converse(AuthFlow::Password, Some("pw"), None, [asks, tokens(None)], ["SMS_MFA"]).await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(*talk.responses(1), json!({"USERNAME": "internal", "ANSWER": "SMS_MFA"}));
}

fn select_challenge(available: &[&str]) -> HttpResponse {
    answer(
        200,
        &json!({"ChallengeName": "SELECT_CHALLENGE", "Session": "session-1", "ChallengeParameters": {},
            "AvailableChallenges": available}),
    )
}

#[tokio::test]
async fn choice_based_sign_in_prefers_a_known_password() {
    let talk = converse(
        AuthFlow::UserAuth,
        Some("pw"),
        None,
        [select_challenge(&["EMAIL_OTP", "PASSWORD", "PASSWORD_SRP"]), password_verifier(), tokens(None)],
        [],
    )
    .await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(talk.requests[0].1["AuthFlow"], "USER_AUTH");
    assert_eq!(talk.requests[0].1["AuthParameters"]["PREFERRED_CHALLENGE"], "PASSWORD_SRP");
    assert_eq!(talk.responses(1)["ANSWER"], "PASSWORD_SRP");
    assert!(talk.responses(1)["SRP_A"].is_string());
    assert!(talk.responses(2)["PASSWORD_CLAIM_SIGNATURE"].is_string());
}

#[tokio::test]
async fn choice_based_sign_in_without_a_password_asks_or_takes_the_only_way() {
    let code = || challenge("EMAIL_OTP", &json!({}));
    let several = select_challenge(&["SMS_OTP", "EMAIL_OTP", "WEB_AUTHN"]);
    let talk =
        converse(AuthFlow::UserAuth, None, None, [several, code(), tokens(None)], ["EMAIL_OTP", "1234"])
            .await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(*talk.responses(1), json!({"USERNAME": "alias@example.com", "ANSWER": "EMAIL_OTP"}));

    let only = select_challenge(&["EMAIL_OTP"]);
    let talk = converse(AuthFlow::UserAuth, None, None, [only, code(), tokens(None)], ["1234"]).await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(talk.asked.len(), 1);

    let password = select_challenge(&["PASSWORD", "EMAIL_OTP"]);
    let talk =
        converse(AuthFlow::UserAuth, None, None, [password, tokens(None)], ["PASSWORD", "typed in"]).await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(talk.responses(1)["PASSWORD"], "typed in");
}

#[tokio::test]
async fn a_password_is_typed_before_the_pool_waits_for_its_proof() {
    let talk = converse(AuthFlow::Srp, None, None, [password_verifier(), tokens(None)], ["typed in"]).await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(talk.asked, ["Password"]);

    let talk = converse(AuthFlow::Srp, None, None, [password_verifier()], []).await;
    assert!(matches!(talk.result, Err(Error::Unanswered(_))));
    assert!(talk.requests.is_empty());
}

#[tokio::test]
async fn passkeys_lead_to_the_browser() {
    for asks in [select_challenge(&["WEB_AUTHN"]), challenge("WEB_AUTHN", &json!({}))] {
        let talk = converse(AuthFlow::UserAuth, None, None, [asks], []).await;
        let error = talk.result.expect_err("no passkey here");
        assert!(matches!(error, Error::PasskeyNeeded));
        let Verdict::PersonNeeded { advice } = error.verdict() else { panic!("{:?}", error.verdict()) };
        assert!(advice.contains("countersign login --browser"));
    }
}

#[tokio::test]
async fn custom_challenges_start_with_the_password_if_there_is_one() {
    let asks = || challenge("CUSTOM_CHALLENGE", &json!({"riddle": "?"}));
    let talk = converse(AuthFlow::Custom, None, None, [asks(), asks(), tokens(None)], ["a", "b"]).await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(
        talk.requests[0].1,
        json!({"AuthFlow": "CUSTOM_AUTH", "ClientId": "client",
            "AuthParameters": {"USERNAME": "alias@example.com"}})
    );
    assert_eq!(*talk.responses(2), json!({"USERNAME": "internal", "ANSWER": "b"}));
    assert!(talk.asked[0].contains("riddle"));

    let responses = [password_verifier(), asks(), tokens(None)];
    let talk = converse(AuthFlow::Custom, Some("pw"), None, responses, ["a"]).await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(talk.requests[0].1["AuthParameters"]["CHALLENGE_NAME"], "SRP_A");
}

#[tokio::test]
async fn a_sign_in_that_took_too_long_starts_over_a_few_times() {
    let asks = || challenge("SMS_MFA", &json!({}));
    let expired = || refused("NotAuthorizedException", "Invalid session for the user, session is expired.");
    let talk = converse(
        AuthFlow::Password,
        Some("pw"),
        None,
        [asks(), expired(), asks(), tokens(None)],
        ["111111", "222222"],
    )
    .await;
    talk.result.as_ref().expect("tokens");
    assert_eq!(talk.requests[2].1["AuthParameters"]["USERNAME"], "alias@example.com");

    let responses = [asks(), expired(), asks(), expired(), asks(), expired(), asks(), expired()];
    let talk = converse(AuthFlow::Password, Some("pw"), None, responses, ["1"; 8]).await;
    assert_eq!(talk.result.expect_err("given up").cause(), Some(Cause::SignInExpired));
    assert_eq!(talk.requests.len(), 6);
}

#[tokio::test]
async fn a_new_device_is_confirmed_and_goes_into_the_grant() {
    let mut body: Value =
        serde_json::from_slice(tokens(Some("r")).body().bytes().expect("in memory")).expect("JSON");
    body["AuthenticationResult"]["NewDeviceMetadata"] =
        json!({"DeviceKey": "eu-west-1_new", "DeviceGroupKey": "group"});
    let busy = refused("TooManyRequestsException", "Rate exceeded");
    let confirmed = answer(200, &json!({"UserConfirmationNecessary": false}));
    let talk =
        converse(AuthFlow::Password, Some("pw"), None, [answer(200, &body), busy, confirmed], []).await;
    let device = talk.result.as_ref().expect("tokens").refresh_grant().expect("a grant").device;
    assert_eq!(device.expect("a device").key, "eu-west-1_new");
    assert_eq!(talk.operations(), ["InitiateAuth", "ConfirmDevice", "ConfirmDevice"]);
    let request = &talk.requests[1].1;
    assert_eq!((&request["AccessToken"], &request["DeviceKey"]), (&json!("access"), &json!("eu-west-1_new")));
    assert!(request["DeviceSecretVerifierConfig"]["Salt"].is_string());
    assert!(request["DeviceSecretVerifierConfig"]["PasswordVerifier"].is_string());
}

#[tokio::test]
async fn a_remembered_device_is_named_and_proven() {
    let device = device();
    let verifier = answer(
        200,
        &json!({"ChallengeName": "DEVICE_PASSWORD_VERIFIER", "ChallengeParameters": {
            "SALT": "abc", "SRP_B": "1234567", "SECRET_BLOCK": "c2VjcmV0", "USERNAME": "internal",
            "DEVICE_KEY": "eu-west-1_device"}}),
    );
    let responses =
        [password_verifier(), challenge("DEVICE_SRP_AUTH", &json!({})), verifier, tokens(Some("r"))];
    let talk = converse(AuthFlow::Srp, Some("pw"), Some(&device), responses, []).await;
    let grant = talk.result.as_ref().expect("tokens").refresh_grant().expect("a grant");
    assert_eq!(grant.device.expect("still known").key, "eu-west-1_device");
    assert_eq!(talk.requests[0].1["AuthParameters"]["DEVICE_KEY"], "eu-west-1_device");
    for index in 1..4 {
        assert_eq!(talk.responses(index)["DEVICE_KEY"], "eu-west-1_device", "{index}");
    }
    assert_ne!(talk.responses(2)["SRP_A"], talk.requests[0].1["AuthParameters"]["SRP_A"]);
    assert!(talk.responses(3)["PASSWORD_CLAIM_SIGNATURE"].is_string());
}

#[tokio::test]
async fn a_forgotten_device_is_dropped() {
    let device = device();
    let unknown = || refused("ResourceNotFoundException", "Device does not exist.");
    let responses = [password_verifier(), unknown(), tokens(Some("r"))];
    let talk = converse(AuthFlow::Srp, Some("pw"), Some(&device), responses, []).await;
    assert!(talk.result.as_ref().expect("tokens").device.is_none());
    let (with, without) = (talk.responses(1), talk.responses(2));
    assert_eq!(with["PASSWORD_CLAIM_SIGNATURE"], without["PASSWORD_CLAIM_SIGNATURE"]);
    assert!(without.get("DEVICE_KEY").is_none());

    let refused = refused("NotAuthorizedException", "Incorrect username or password.");
    let responses = [challenge("DEVICE_SRP_AUTH", &json!({})), refused, tokens(Some("r"))];
    let talk = converse(AuthFlow::Password, Some("pw"), Some(&device), responses, []).await;
    assert!(talk.result.as_ref().expect("tokens").device.is_none());
    assert!(talk.requests[2].1["AuthParameters"].get("DEVICE_KEY").is_none());
}

#[tokio::test]
async fn renewal_names_the_device() {
    let script = Script::new([refused("UnknownOperationException", ""), tokens(None)]);
    let grant = RefreshGrant { device: Some(device()), ..grant() };
    script.client(pool()).refresh(&grant).await.expect("tokens");
    let requests = script.requests();
    assert_eq!(requests[0].1["DeviceKey"], "eu-west-1_device");
    assert_eq!(requests[1].1["AuthParameters"]["DEVICE_KEY"], "eu-west-1_device");
}

#[tokio::test]
async fn unknown_and_endless_challenges_end_the_sign_in() {
    let talk = converse(AuthFlow::Password, Some("pw"), None, [challenge("RIDDLE", &json!({}))], []).await;
    assert!(matches!(talk.result, Err(Error::UnknownChallenge(name)) if name == "RIDDLE"));

    let endless = std::iter::repeat_with(|| challenge("CUSTOM_CHALLENGE", &json!({}))).take(40);
    let talk = converse(AuthFlow::Custom, None, None, endless, ["?"; 40]).await;
    assert!(matches!(talk.result, Err(Error::TooManyChallenges)));
}
