//! Replaces a temporary or expired password.

use super::{Challenge, SignIn};
use crate::credentials::user_pool::{answers::Question, api::AuthResponse, error::Error, refusal::Cause};

const ATTRIBUTE_PREFIX: &str = "userAttributes.";

impl SignIn<'_> {
    /// NEW_PASSWORD_REQUIRED: asks for a new password and for the required attributes that the user lacks.
    pub(super) async fn replace_password(&mut self, challenge: &Challenge) -> Result<AuthResponse, Error> {
        let mut attributes = Vec::new();
        for name in challenge.list("requiredAttributes").unwrap_or_default() {
            let bare = name.strip_prefix(ATTRIBUTE_PREFIX).unwrap_or(&name);
            let value = self.ask(Question::Attribute(bare)).await?;
            attributes.push((format!("{ATTRIBUTE_PREFIX}{bare}"), value));
        }
        let mut rejected: Option<String> = None;
        loop {
            let question = Question::NewPassword { rejected: rejected.as_deref() };
            let new_password = self.ask(question).await?;
            let mut responses = self.parameters().with("NEW_PASSWORD", new_password);
            for (name, value) in &attributes {
                responses = responses.with(name.clone(), value.clone());
            }
            match self.reply(challenge, responses).await {
                Err(Error::Refused(refusal)) if refusal.cause == Cause::NewPasswordRejected => {
                    rejected = Some(refusal.message);
                }
                other => return other,
            }
        }
    }
}
