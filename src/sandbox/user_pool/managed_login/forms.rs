//! The forms of the pages: each is answered by the operation that an app would call.

use http::Response;
use serde_json::Value;

use super::{
    PageRequest,
    authorization::Authorization,
    page::{Field, Kind, Page},
};
use crate::sandbox::{
    answer::{AwsError, Body},
    people::Flow,
    user_pool::{
        UserPool,
        attributes::Attribute,
        clients::secret_hash,
        passwords::ConfirmForgotPassword,
        sessions::{Attempt, TokenSource},
        sign_up::{ConfirmSignUp, RequestCode, SignUp},
    },
};

impl UserPool {
    /// A page whose form has not been filled in yet.
    pub(super) fn empty_form(&self, name: &str, request: &PageRequest<'_>) -> Response<Body> {
        self.answer_authorization(request.query, |authorization| match name {
            "signup" => self.sign_up_page(authorization, "").response(),
            "forgotPassword" => authorization.forgot_password_page("").response(),
            _ => authorization.login_page("", "").response(),
        })
    }

    /// Answers a form that was sent.
    pub(super) async fn answer_form(&self, name: &str, request: &PageRequest<'_>) -> Response<Body> {
        let authorization = match self.authorization(request.query) {
            Ok(authorization) => authorization,
            Err(refusal) => return *refusal,
        };
        match name {
            "login" => self.log_in(&authorization, request).await,
            "signup" => self.sign_up_by_form(&authorization, request).await,
            "confirmUser" => self.confirm_by_form(&authorization, request).await,
            "confirmForgotPassword" => self.reset_password_by_form(&authorization, request).await,
            _ => self.answer_challenge_by_form(&authorization, request).await,
        }
    }

    async fn log_in(&self, authorization: &Authorization<'_>, request: &PageRequest<'_>) -> Response<Body> {
        let (username, password) = (request.field("username"), request.field("password"));
        let known = self.directory.account(username);
        let internal_name =
            known.as_ref().map_or_else(|| username.to_owned(), |account| account.user.username.clone());
        let attempt = Attempt {
            tokens_for: TokenSource::Hosted,
            ..Attempt::new(&internal_name, &authorization.client.id, Flow::UserPassword)
        };
        let outcome = match self.before_authentication(&attempt, known.as_ref(), None).await {
            Ok(()) => self.prove_password(attempt, password).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(step) => self.next_step(authorization, &internal_name, &step),
            Err(error) => self.sign_in_problem(authorization, username, &error),
        }
    }

    /// A code for the client, or the page of the challenge that comes next.
    pub(super) fn next_step(
        &self,
        authorization: &Authorization<'_>,
        username: &str,
        step: &Value,
    ) -> Response<Body> {
        if step["ChallengeName"].is_string() {
            return self.challenge_page(authorization, username, step);
        }
        match self.directory.account(username) {
            Some(account) => self.approve(authorization, &account),
            None => authorization.login_page("", "User does not exist.").response(),
        }
    }

    /// What stands in the way of a user who has proven the password leads to the page that clears it.
    fn sign_in_problem(
        &self,
        authorization: &Authorization<'_>,
        username: &str,
        error: &AwsError,
    ) -> Response<Body> {
        match error.code.as_str() {
            "UserNotConfirmedException" => {
                authorization.confirm_page(username, "", &error.message).response()
            }
            "PasswordResetRequiredException" => {
                self.request_reset(authorization, username, "Your password must be reset.")
            }
            _ => authorization.login_page("", &error.message).response(),
        }
    }

    async fn sign_up_by_form(
        &self,
        authorization: &Authorization<'_>,
        request: &PageRequest<'_>,
    ) -> Response<Body> {
        let username = request.field("username");
        let names = self.sign_up_attributes();
        let attributes = names.iter().map(|name| Attribute::new(name, request.field(name)));
        let outcome = self
            .sign_up(&SignUp {
                client_id: authorization.client.id.clone(),
                secret_hash: secret_hash(authorization.client, username),
                username: username.to_owned(),
                password: Some(request.field("password").into()),
                user_attributes: attributes.collect(),
                validation_data: Vec::new(),
                client_metadata: None,
            })
            .await;
        match outcome {
            Ok(answer) if answer["CodeDeliveryDetails"].is_object() => {
                authorization.confirm_page(username, &sent_to(&answer), "").response()
            }
            Ok(answer) if answer["UserConfirmed"] == true => {
                authorization.login_page("You have signed up. Sign in.", "").response()
            }
            Ok(_) => {
                let notice = "You have signed up. An administrator must confirm it.";
                authorization.login_page(notice, "").response()
            }
            Err(error) => self.sign_up_page(authorization, &error.message).response(),
        }
    }

    async fn confirm_by_form(
        &self,
        authorization: &Authorization<'_>,
        request: &PageRequest<'_>,
    ) -> Response<Body> {
        let username = request.field("username");
        let outcome = self
            .confirm_sign_up(&ConfirmSignUp {
                client_id: authorization.client.id.clone(),
                secret_hash: secret_hash(authorization.client, username),
                username: username.to_owned(),
                confirmation_code: request.field("code").to_owned(),
                force_alias_creation: false,
                client_metadata: None,
            })
            .await;
        match outcome {
            Ok(_) => authorization.login_page("Your sign-up is confirmed. Sign in.", "").response(),
            Err(error) => authorization.confirm_page(username, "", &error.message).response(),
        }
    }

    pub(super) fn resend_by_form(&self, request: &PageRequest<'_>) -> Response<Body> {
        self.answer_authorization(request.query, |authorization| {
            let username = request.field("username");
            match self.resend_confirmation_code(&authorization.request_code(username)) {
                Ok(answer) => authorization.confirm_page(username, &sent_to(&answer), "").response(),
                Err(error) => authorization.confirm_page(username, "", &error.message).response(),
            }
        })
    }

    pub(super) fn forgot_password_by_form(&self, request: &PageRequest<'_>) -> Response<Body> {
        self.answer_authorization(request.query, |authorization| {
            self.request_reset(authorization, request.field("username"), "")
        })
    }

    fn request_reset(
        &self,
        authorization: &Authorization<'_>,
        username: &str,
        notice: &str,
    ) -> Response<Body> {
        match self.forgot_password(&authorization.request_code(username)) {
            Ok(answer) => {
                let notice = format!("{notice} {}", sent_to(&answer));
                authorization.reset_page(username, notice.trim(), "").response()
            }
            Err(error) => authorization.forgot_password_page(&error.message).response(),
        }
    }

    async fn reset_password_by_form(
        &self,
        authorization: &Authorization<'_>,
        request: &PageRequest<'_>,
    ) -> Response<Body> {
        let username = request.field("username");
        let outcome = self
            .confirm_forgot_password(&ConfirmForgotPassword {
                client_id: authorization.client.id.clone(),
                secret_hash: secret_hash(authorization.client, username),
                username: username.to_owned(),
                confirmation_code: request.field("code").to_owned(),
                password: request.field("password").into(),
                client_metadata: None,
            })
            .await;
        match outcome {
            Ok(_) => authorization.login_page("Your password is changed. Sign in.", "").response(),
            Err(error) => authorization.reset_page(username, "", &error.message).response(),
        }
    }

    /// The attributes that the form for sign-up asks for.
    fn sign_up_attributes(&self) -> Vec<String> {
        let usernames_are_addresses = !self.rules.usernames.addresses().is_empty();
        let mut names = self.rules.required_attributes.clone();
        // The user name fills in its own attribute.
        if let [only] = self.rules.usernames.addresses() {
            names.retain(|name| name != only.attribute());
        }
        if !usernames_are_addresses && !names.iter().any(|name| name == "email") {
            names.insert(0, "email".to_owned());
        }
        names
    }

    fn sign_up_page(&self, authorization: &Authorization<'_>, problem: &str) -> Page {
        let attributes = self.sign_up_attributes();
        let attributes = attributes.iter().map(|name| {
            let autocomplete = if name == "email" { "email" } else { "on" };
            Field::new(name, &name.replace('_', " "), Kind::Text { autocomplete })
        });
        Page {
            title: "Sign up",
            problem: problem.to_owned(),
            action: authorization.path("signup"),
            fields: std::iter::once(Field::username(""))
                .chain(attributes)
                .chain([Field::new_password()])
                .collect(),
            button: "Sign up",
            links: vec![(authorization.path("login"), "Sign in")],
            ..Page::default()
        }
    }
}

impl PageRequest<'_> {
    /// A field of the form; empty when it was not sent.
    pub(super) fn field(&self, name: &str) -> &str {
        self.form.get(name).unwrap_or_default()
    }
}

impl Authorization<'_> {
    fn request_code(&self, username: &str) -> RequestCode {
        RequestCode {
            client_id: self.client.id.clone(),
            secret_hash: secret_hash(self.client, username),
            username: username.to_owned(),
        }
    }
}

fn sent_to(answer: &Value) -> String {
    let destination = answer["CodeDeliveryDetails"]["Destination"].as_str().unwrap_or_default();
    format!("A code was sent to {destination}.")
}
