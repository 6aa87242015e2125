//! The classic flow: a token of the identity pool, exchanged at STS for a role of one's choice.

use std::time::{Duration, SystemTime};

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{ACCOUNT, IdentityPool, logins::Login};
use crate::{
    rfc3339,
    sandbox::{
        answer::{AwsError, Body, Form},
        credential_store::{Issued, Principal},
        paced::Hangup,
        percent::Pairs,
        tokens::{self, InvalidToken, epoch},
        xml,
    },
};

const ACTION: &str = "AssumeRoleWithWebIdentity";
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);
const MIN_SESSION: u64 = 15 * 60;
const MAX_SESSION: u64 = 12 * 3600;

impl IdentityPool {
    /// The token that GetOpenIdToken gives an identity.
    pub(super) fn open_id_token(&self, identity_id: &str, login: Option<&Login>, now: SystemTime) -> String {
        let methods = match login {
            None => vec!["unauthenticated".to_owned()],
            Some(Login { provider, subject, .. }) => vec![
                "authenticated".to_owned(),
                provider.clone(),
                format!("{provider}:CognitoSignIn:{subject}"),
            ],
        };
        tokens::sign(&json!({
            "iss": self.open_id_issuer(),
            "sub": identity_id,
            "aud": self.id,
            "amr": methods,
            "iat": epoch(now),
            "exp": epoch(now + TOKEN_LIFETIME),
        }))
    }

    pub(super) async fn answer_sts(&self, form: &Pairs) -> Result<Response<Body>, Hangup> {
        let action = form.get("Action").unwrap_or_default();
        self.calls.add(action);
        if let Some(disturbed) = Form::Sts.disturbed(&self.faults, action).await? {
            return Ok(disturbed);
        }
        Ok(match self.assume_role(action, form) {
            Ok(issued) => Form::Sts.text(StatusCode::OK, self.describe(&issued)),
            Err(error) => Form::Sts.error(&error),
        })
    }

    fn assume_role(&self, action: &str, form: &Pairs) -> Result<Issued, AwsError> {
        if action != ACTION || form.get("Version") != Some("2011-06-15") {
            let message = format!("Could not find operation {action}");
            return Err(AwsError::new("InvalidAction", message));
        }
        let session_name = required(form, "RoleSessionName")?;
        let role_arn = required(form, "RoleArn")?;
        let now = self.clock.now();
        let claims = self.check_web_identity(required(form, "WebIdentityToken")?, now)?;
        let lifetime = self.session_lifetime(form)?;
        if !is_session_name(session_name) {
            return Err(invalid(&format!("roleSessionName '{session_name}' is not valid")));
        }
        if !role_arn.starts_with(&format!("arn:aws:iam::{ACCOUNT}:role/")) {
            let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
            return Err(AwsError::new("AccessDenied", message));
        }
        let methods = claims["amr"].as_array();
        let method = methods.and_then(|methods| methods.get(2)).and_then(Value::as_str);
        let login = method.and_then(|method| method.split_once(":CognitoSignIn:"));
        let principal = Principal {
            identity_id: claims["sub"].as_str().unwrap_or_default().to_owned(),
            login: login.map(|(provider, subject)| (provider.to_owned(), subject.to_owned())),
            role_arn: role_arn.to_owned(),
            session_name: session_name.to_owned(),
        };
        Ok(self.store.issue(principal, lifetime, now))
    }

    fn check_web_identity(&self, token: &str, now: SystemTime) -> Result<Value, AwsError> {
        let refuse = |message: &str| AwsError::new("InvalidIdentityToken", message);
        let claims = tokens::check(token).map_err(|error| match error {
            InvalidToken::Malformed => refuse("The ID Token provided is not a valid JWT."),
            InvalidToken::Signature => refuse("Couldn't verify the signature of the token."),
        })?;
        if claims["iss"] != self.open_id_issuer() || claims["aud"] != self.id {
            return Err(refuse("Incorrect token audience"));
        }
        let expiry = claims["exp"].as_u64().unwrap_or_default();
        if epoch(now) >= expiry {
            let message = format!("Token expired: current date/time {} must be before {expiry}", epoch(now));
            return Err(AwsError::new("ExpiredTokenException", message));
        }
        Ok(claims)
    }

    /// What is asked for, unless the sandbox is set to credentials too short for STS.
    fn session_lifetime(&self, form: &Pairs) -> Result<Duration, AwsError> {
        let asked = form.get("DurationSeconds").map_or(Ok(3600), str::parse::<u64>);
        let asked = asked.ok().filter(|asked| (MIN_SESSION..=MAX_SESSION).contains(asked));
        let asked = asked.ok_or_else(|| {
            invalid("durationSeconds must be between 900 and the role's MaxSessionDuration")
        })?;
        let short = self.credentials_lifetime.as_secs() < MIN_SESSION;
        Ok(if short { self.credentials_lifetime } else { Duration::from_secs(asked) })
    }

    fn describe(&self, issued: &Issued) -> String {
        let principal = &issued.principal;
        let role_id = format!("AROASANDBOXSANDBOX001:{}", principal.session_name);
        let user = [xml::text("Arn", &principal.user_arn()), xml::text("AssumedRoleId", &role_id)].concat();
        let expires = rfc3339::seconds(issued.expires);
        let credentials = [
            xml::text("AccessKeyId", &issued.access_key),
            xml::text("SecretAccessKey", &issued.secret_key),
            xml::text("SessionToken", issued.session_token.as_deref().unwrap_or_default()),
            xml::text("Expiration", &expires.unwrap_or_default()),
        ];
        let result = [
            xml::element("Credentials", &credentials.concat()),
            xml::element("AssumedRoleUser", &user),
            xml::text("SubjectFromWebIdentityToken", &principal.identity_id),
            xml::text("Provider", "cognito-identity.amazonaws.com"),
            xml::text("Audience", &self.id),
        ];
        xml::answer(ACTION, &result.concat())
    }

    fn open_id_issuer(&self) -> &'static str {
        "https://cognito-identity.amazonaws.com"
    }
}

fn required<'a>(form: &'a Pairs, name: &str) -> Result<&'a str, AwsError> {
    form.get(name).ok_or_else(|| invalid(&format!("{name} must not be null")))
}

fn is_session_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (2..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn invalid(message: &str) -> AwsError {
    AwsError::new("ValidationError", format!("1 validation error detected: {message}"))
}
