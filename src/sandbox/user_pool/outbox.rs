//! Codes that the user pool has "sent" by e-mail and text message.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sandbox::people::{Medium, User};

/// A code that was "sent" to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The internal name of the user.
    pub username: String,
    /// How it was sent.
    pub medium: Medium,
    /// The address, or nothing when the user has none of that kind.
    pub address: String,
    /// The code.
    pub code: String,
}

#[derive(Default)]
pub(super) struct Outbox(Mutex<Vec<Message>>);

impl Outbox {
    /// Sends a new code and returns it.
    pub(super) fn send(&self, user: &User, medium: Medium) -> String {
        let code = format!("{:06}", rand::random_range(0..1_000_000_u32));
        let address = user.address(medium).unwrap_or_default().to_owned();
        tracing::info!("code {code} sent to {} ({address})", user.username);
        self.lock().push(Message { username: user.username.clone(), medium, address, code: code.clone() });
        code
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
