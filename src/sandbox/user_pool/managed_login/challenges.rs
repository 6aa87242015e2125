//! The pages of challenges after the password: second factors, their setup, and a temporary password.

use http::Response;
use serde_json::Value;

use super::{
    PageRequest,
    authorization::Authorization,
    page::{Field, Kind, Page},
};
use crate::sandbox::{
    answer::{AwsError, Body},
    user_pool::{
        UserPool,
        clients::secret_hash,
        parameters::Parameters,
        respond::RespondToAuthChallenge,
        second_factor::{AssociateSoftwareToken, VerifySoftwareToken},
    },
};

const ATTRIBUTE: &str = "userAttributes.";

impl UserPool {
    pub(super) fn challenge_page(
        &self,
        authorization: &Authorization<'_>,
        username: &str,
        challenge: &Value,
    ) -> Response<Body> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, mut session) = (text(&challenge["ChallengeName"]), text(&challenge["Session"]));
        let parameters = &challenge["ChallengeParameters"];
        let (notice, fields) = match name.as_str() {
            "NEW_PASSWORD_REQUIRED" => {
                let required = listed(&parameters["requiredAttributes"]);
                let attributes = required.iter().map(|name| attribute_field(name, ""));
                (String::new(), std::iter::once(Field::new_password()).chain(attributes).collect())
            }
            "SELECT_MFA_TYPE" => {
                let choice = Kind::Choice(listed(&parameters["MFAS_CAN_CHOOSE"]));
                (String::new(), vec![Field::new("code", "Second factor", choice)])
            }
            "MFA_SETUP" => match self.begin_setup(&session) {
                Ok((secret, next)) => {
                    session = next;
                    (setup_notice(&secret), vec![Field::code(), Field::hidden("secret", &secret)])
                }
                Err(error) => return authorization.login_page("", &error.message).response(),
            },
            _ => {
                let address = parameters["CODE_DELIVERY_DESTINATION"].as_str();
                let notice = address.map(|address| format!("A code was sent to {address}."));
                (notice.unwrap_or_default(), vec![Field::code()])
            }
        };
        authorization.challenge_form(&name, username, &session, fields, (&notice, "")).response()
    }

    fn begin_setup(&self, session: &str) -> Result<(String, String), AwsError> {
        let request = AssociateSoftwareToken { access_token: None, session: Some(session.to_owned()) };
        let answer = self.associate_software_token(&request)?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Ok((text("SecretCode"), text("Session")))
    }

    pub(super) async fn answer_challenge_by_form(
        &self,
        authorization: &Authorization<'_>,
        request: &PageRequest<'_>,
    ) -> Response<Body> {
        let username = request.field("username");
        match self.answer_challenge(authorization, request).await {
            Ok(step) => self.next_step(authorization, username, &step),
            Err(error) if self.sessions.is_open(request.field("session")) => {
                authorization.repeated_challenge(request, &error.message).response()
            }
            Err(error) => authorization.login_page("", &error.message).response(),
        }
    }

    async fn answer_challenge(
        &self,
        authorization: &Authorization<'_>,
        request: &PageRequest<'_>,
    ) -> Result<Value, AwsError> {
        let (name, username) = (request.field("challenge"), request.field("username"));
        let code = request.field("code").to_owned();
        let mut session = request.field("session").to_owned();
        let mut responses = Parameters::of([("USERNAME", username.to_owned())]);
        if let Some(hash) = secret_hash(authorization.client, username) {
            responses.insert("SECRET_HASH", hash);
        }
        match name {
            "NEW_PASSWORD_REQUIRED" => {
                responses.insert("NEW_PASSWORD", request.field("password").to_owned());
                for (name, value) in request.form.clone().into_vec() {
                    if name.starts_with(ATTRIBUTE) {
                        responses.insert(&name, value);
                    }
                }
            }
            "SELECT_MFA_TYPE" => responses.insert("ANSWER", code),
            "MFA_SETUP" => {
                let verification =
                    VerifySoftwareToken { access_token: None, session: Some(session), user_code: code };
                let verified = self.verify_software_token(&verification)?;
                session = verified["Session"].as_str().unwrap_or_default().to_owned();
            }
            other => responses.insert(&format!("{other}_CODE"), code),
        }
        self.respond_to_auth_challenge(&RespondToAuthChallenge {
            challenge_name: name.to_owned(),
            client_id: authorization.client.id.clone(),
            session: Some(session),
            challenge_responses: responses,
            client_metadata: None,
        })
        .await
    }
}

impl Authorization<'_> {
    /// The same challenge after a wrong answer.
    fn repeated_challenge(&self, request: &PageRequest<'_>, problem: &str) -> Page {
        let name = request.field("challenge");
        let mut fields = Vec::new();
        if name == "NEW_PASSWORD_REQUIRED" {
            let sent = request.form.clone().into_vec();
            let attributes = sent.iter().filter(|(name, _)| name.starts_with(ATTRIBUTE));
            fields.push(Field::new_password());
            fields.extend(attributes.map(|(name, value)| attribute_field(name, value)));
        } else {
            fields.push(Field::code());
        }
        let mut notice = String::new();
        if name == "MFA_SETUP" {
            let secret = request.field("secret");
            notice = setup_notice(secret);
            fields.push(Field::hidden("secret", secret));
        }
        let (username, session) = (request.field("username"), request.field("session"));
        self.challenge_form(name, username, session, fields, (&notice, problem))
    }

    fn challenge_form(
        &self,
        name: &str,
        username: &str,
        session: &str,
        mut fields: Vec<Field>,
        (notice, problem): (&str, &str),
    ) -> Page {
        let kept = [("challenge", name), ("username", username), ("session", session)];
        fields.extend(kept.map(|(name, value)| Field::hidden(name, value)));
        Page {
            title: match name {
                "NEW_PASSWORD_REQUIRED" => "Change your password",
                "SELECT_MFA_TYPE" => "Choose a second factor",
                "MFA_SETUP" => "Set up a second factor",
                _ => "Enter the code",
            },
            notice: notice.to_owned(),
            problem: problem.to_owned(),
            action: self.path("mfa"),
            fields,
            button: "Continue",
            links: vec![(self.path("login"), "Start again")],
        }
    }
}

fn attribute_field(name: &str, value: &str) -> Field {
    let label = name.trim_start_matches(ATTRIBUTE).replace('_', " ");
    Field { value: value.to_owned(), ..Field::new(name, &label, Kind::Text { autocomplete: "on" }) }
}

fn setup_notice(secret: &str) -> String {
    format!("Add this secret to your authenticator app: {secret}")
}

/// A list that a challenge parameter carries as JSON text.
fn listed(parameter: &Value) -> Vec<String> {
    let text = parameter.as_str().unwrap_or("[]");
    serde_json::from_str(text).unwrap_or_default()
}
