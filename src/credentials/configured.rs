//! The credentials provider that the settings select.

use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::{
    Settings,
    aws_chain::AwsChain,
    cognito::CognitoProvider,
    provider::{CredentialsProvider, FetchError, IssuedCredentials},
    user_pool::InvalidTotpSecret,
};
use crate::clock::Clock;

/// The provider that the setting `credentials` selects.
#[derive(Debug)]
pub enum Configured {
    /// A Cognito identity.
    Cognito(Box<CognitoProvider>),
    /// The SDK's default chain.
    Aws(AwsChain),
}

impl Configured {
    /// The provider for `settings`, which calls through `connector`.
    ///
    /// # Errors
    /// When the TOTP secret is not base32.
    pub fn new(
        settings: &Settings,
        connector: SharedHttpConnector,
        clock: Clock,
    ) -> Result<Self, InvalidTotpSecret> {
        Ok(match settings.clone() {
            Settings::Cognito(cognito) => {
                Self::Cognito(Box::new(CognitoProvider::login(*cognito, connector, clock)?))
            }
            Settings::Guest { identity_pool } => {
                Self::Cognito(Box::new(CognitoProvider::guest(identity_pool, connector, clock)))
            }
            Settings::Aws => Self::Aws(AwsChain::new(connector, clock)),
        })
    }
}

impl CredentialsProvider for Configured {
    async fn fetch(&mut self) -> Result<IssuedCredentials, FetchError> {
        match self {
            Self::Cognito(source) => source.fetch().await,
            Self::Aws(source) => source.fetch().await,
        }
    }

    async fn changed(&mut self) -> bool {
        match self {
            Self::Cognito(source) => source.changed().await,
            Self::Aws(source) => source.changed().await,
        }
    }

    fn waits_for(&self) -> Option<String> {
        match self {
            Self::Cognito(source) => source.waits_for(),
            Self::Aws(source) => source.waits_for(),
        }
    }

    fn update_secrets(&mut self, other: Self) {
        if let (Self::Cognito(own), Self::Cognito(other)) = (self, other) {
            own.update_secrets(*other);
        }
    }
}
