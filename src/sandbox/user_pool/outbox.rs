//! Codes that the user pool has "sent" by e-mail and text message.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::account::Account;
use crate::sandbox::people::Medium;

/// Messages that are kept: the oldest go first.
const MAX_MESSAGES: usize = 1000;

/// What a message is for, as the trigger for custom messages names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A code that is a factor of a sign-in.
    Authentication,
    /// A code that confirms a sign-up.
    SignUp,
    /// A code that allows a new password.
    ForgotPassword,
    /// A code that verifies an address.
    VerifyUserAttribute,
    /// The temporary password of a user whom an administrator has created.
    AdminCreateUser,
}

/// A code that was "sent" to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The internal name of the user.
    pub username: String,
    /// What it is for.
    pub purpose: Purpose,
    /// How it was sent.
    pub medium: Medium,
    /// The address, or nothing when the user has none of that kind.
    pub address: String,
    /// The code, or the temporary password.
    pub code: String,
}

#[derive(Default)]
pub(super) struct Outbox(Mutex<Vec<Message>>);

impl Outbox {
    /// Sends a new code and returns it.
    pub(super) fn send_code(&self, account: &Account, medium: Medium, purpose: Purpose) -> String {
        let code = format!("{:06}", rand::random_range(0..1_000_000_u32));
        self.send(account, medium, purpose, &code);
        code
    }

    pub(super) fn send(&self, account: &Account, medium: Medium, purpose: Purpose, code: &str) {
        let username = &account.user.username;
        let address = account.address(medium).unwrap_or_default();
        tracing::info!("code {code} sent to {username} ({address})");
        let mut messages = self.lock();
        if messages.len() == MAX_MESSAGES {
            messages.remove(0);
        }
        messages.push(Message {
            username: username.clone(),
            purpose,
            medium,
            address: address.to_owned(),
            code: code.to_owned(),
        });
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address as CODE_DELIVERY_DESTINATION shows it.
pub(super) fn masked(address: &str) -> String {
    if let Some((name, domain)) = address.split_once('@') {
        let first = |text: &str| text.chars().take(1).collect::<String>();
        return format!("{}***@{}***", first(name), first(domain));
    }
    let shown = address.len().saturating_sub(4);
    address.char_indices().map(|(at, letter)| if at == 0 || at >= shown { letter } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_masked() {
        assert_eq!(masked("ann@example.com"), "a***@e***");
        assert_eq!(masked("+441234567890"), "+********7890");
        assert_eq!(masked(""), "");
    }
}
