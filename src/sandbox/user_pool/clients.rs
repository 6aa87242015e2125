//! The app clients of the pool: looking them up, checking their flows and secrets.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;

use crate::sandbox::{
    answer::AwsError,
    digest::hmac,
    people::{AppClient, Flow},
};

pub(super) struct Clients(Vec<AppClient>);

impl Clients {
    pub(super) fn new(clients: &[AppClient]) -> Self {
        Self(clients.to_vec())
    }

    pub(super) fn find(&self, id: &str) -> Result<&AppClient, AwsError> {
        let found = self.0.iter().find(|client| client.id == id);
        found.ok_or_else(|| AwsError::not_found(format!("User pool client {id} does not exist.")))
    }
}

pub(super) fn require_flow(client: &AppClient, flow: Flow) -> Result<(), AwsError> {
    if client.flows.contains(&flow) {
        return Ok(());
    }
    let message = format!("{} flow not enabled for this client", flow.as_str());
    Err(AwsError::invalid_parameter(message))
}

/// SECRET_HASH of a client that has a secret.
pub(super) fn secret_hash(client: &AppClient, username: &str) -> Option<String> {
    let key = client.secret.as_ref()?.expose_secret().as_bytes();
    Some(STANDARD.encode(hmac(key, &[username.as_bytes(), client.id.as_bytes()])))
}

/// Checks SECRET_HASH, which is over the name that the request carries or stands for.
pub(super) fn check_secret_hash(
    client: &AppClient,
    username: &str,
    given: Option<&String>,
) -> Result<(), AwsError> {
    let id = &client.id;
    match (secret_hash(client, username), given) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(AwsError::not_authorized(format!(
            "Client {id} is configured with secret but SECRET_HASH was not received"
        ))),
        (Some(expected), Some(given)) if *given == expected => Ok(()),
        (_, Some(_)) => Err(unverified(id)),
    }
}

/// Checks the raw secret that GetTokensFromRefreshToken and RevokeToken take.
pub(super) fn check_secret(client: &AppClient, given: Option<&str>) -> Result<(), AwsError> {
    let id = &client.id;
    match (&client.secret, given) {
        (None, _) => Ok(()),
        (Some(secret), Some(given)) if secret.expose_secret() == given => Ok(()),
        (Some(_), None) => Err(AwsError::not_authorized(format!(
            "Client {id} is configured with secret but ClientSecret was not received"
        ))),
        (Some(_), Some(_)) => {
            Err(AwsError::not_authorized(format!("ClientSecret does not match for the client: {id}")))
        }
    }
}

fn unverified(client_id: &str) -> AwsError {
    AwsError::not_authorized(format!("Unable to verify secret hash for client {client_id}"))
}
