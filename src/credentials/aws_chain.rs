//! The default credentials chain of the AWS SDK: profile, SSO, container, instance.

use std::time::Duration;

use aws_config::{default_provider::credentials::DefaultCredentialsChain, provider_config::ProviderConfig};
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::{
    pause::Pause,
    provider::{CredentialsProvider, FetchError, Identity, IssuedCredentials},
};
use crate::aws_http;
use crate::clock::Clock;

/// How long after an attempt that found nothing the chain is tried again: the user may have run `aws sso login`.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Obtains credentials from the environment.
#[derive(Debug)]
pub struct AwsChain {
    connector: SharedHttpConnector,
    clock: Clock,
    /// Runs since the last attempt.
    pause: Option<Pause>,
}

impl AwsChain {
    /// A chain that calls through `connector`.
    #[must_use]
    pub fn new(connector: SharedHttpConnector, clock: Clock) -> Self {
        Self { connector, clock, pause: None }
    }

    /// A new chain for each attempt, since the SDK reads profiles only once.
    async fn chain(&self) -> DefaultCredentialsChain {
        let settings =
            ProviderConfig::without_region().with_http_client(aws_http::client(self.connector.clone()));
        DefaultCredentialsChain::builder().configure(settings).build().await
    }
}

impl CredentialsProvider for AwsChain {
    async fn fetch(&mut self) -> Result<IssuedCredentials, FetchError> {
        self.pause = Some(Pause::new(RETRY_INTERVAL, None, &self.clock));
        let credentials = self.chain().await.provide_credentials().await.map_err(failed)?;
        Ok(IssuedCredentials {
            expiry: credentials.expiry(),
            issued_at: self.clock.now(),
            identity: Identity { username: Some("aws".to_owned()), ..Identity::default() },
            credentials,
        })
    }

    async fn changed(&mut self) -> bool {
        self.pause.is_none_or(|pause| pause.left(&self.clock).is_none())
    }
}

fn failed(error: CredentialsError) -> FetchError {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => FetchError::terminal(
            "configure an AWS profile, sign in with `aws sso login`, or give the container a role",
            error,
        ),
        CredentialsError::InvalidConfiguration(_) => {
            FetchError::terminal("correct the AWS profile that is named in the log", error)
        }
        _ => FetchError::transient(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::credentials::user_pool::script::{Script, clock};

    #[tokio::test(start_paused = true)]
    async fn a_chain_that_found_nothing_is_asked_again_after_a_while() {
        let mut chain = AwsChain::new(SharedHttpConnector::new(Script::default()), clock());
        assert!(chain.changed().await, "it has not been asked yet");
        chain.pause = Some(Pause::new(RETRY_INTERVAL, None, &chain.clock));
        assert!(!chain.changed().await);
        advance(RETRY_INTERVAL).await;
        assert!(chain.changed().await);
    }
}
