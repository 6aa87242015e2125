//! The pages with the forms for signing in, confirming and resetting a password.

use super::{
    authorization::Authorization,
    page::{Field, Page},
};

impl Authorization<'_> {
    pub(super) fn login_page(&self, notice: &str, problem: &str) -> Page {
        Page {
            title: "Sign in",
            notice: notice.to_owned(),
            problem: problem.to_owned(),
            action: self.path("login"),
            fields: vec![
                Field::username(self.query.get("login_hint").unwrap_or_default()),
                Field::password(),
            ],
            button: "Sign in",
            links: vec![
                (self.path("forgotPassword"), "Forgot your password?"),
                (self.path("signup"), "Sign up"),
            ],
        }
    }

    pub(super) fn forgot_password_page(&self, problem: &str) -> Page {
        Page {
            title: "Forgot your password?",
            problem: problem.to_owned(),
            action: self.path("forgotPassword"),
            fields: vec![Field::username("")],
            button: "Send a code",
            links: vec![(self.path("login"), "Sign in")],
            ..Page::default()
        }
    }

    pub(super) fn confirm_page(&self, username: &str, notice: &str, problem: &str) -> Page {
        Page {
            title: "Confirm your sign-up",
            notice: notice.to_owned(),
            problem: problem.to_owned(),
            action: self.path("confirmUser"),
            fields: vec![Field::username(username), Field::code()],
            button: "Confirm",
            links: vec![(self.path("login"), "Sign in")],
        }
    }

    pub(super) fn reset_page(&self, username: &str, notice: &str, problem: &str) -> Page {
        Page {
            title: "Choose a new password",
            notice: notice.to_owned(),
            problem: problem.to_owned(),
            action: self.path("confirmForgotPassword"),
            fields: vec![Field::username(username), Field::code(), Field::new_password()],
            button: "Change the password",
            links: vec![(self.path("login"), "Sign in")],
        }
    }
}
