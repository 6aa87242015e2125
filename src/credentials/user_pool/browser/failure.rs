//! Why a sign-in in a browser failed.

use std::{error::Error, fmt, io};

use crate::{aws_http::foreign::ForeignAnswer, credentials::user_pool::exchange::ExchangeError};

/// Why a sign-in in a browser failed.
#[derive(Debug)]
pub enum BrowserError {
    /// The setting `domain` is missing.
    NoDomain,
    /// The setting `domain` is not a host.
    Domain(String),
    /// The redirect port cannot be listened on.
    Listen(u16, io::Error),
    /// The redirect did not come in time.
    TimedOut,
    /// The login page redirected with an error.
    Refused {
        /// RFC 6749's code.
        code: String,
        /// The page's description.
        description: Option<String>,
    },
    /// The token endpoint refused the code, with this error code of RFC 6749.
    TokensRefused(String),
    /// Something between this machine and the token endpoint answered in its place.
    Foreign(ForeignAnswer),
    /// The token endpoint did not answer.
    ExchangeError(ExchangeError),
    /// The token endpoint's response is incomplete or malformed.
    Unintelligible,
    /// The ID token is not for this sign-in; the text says why.
    IdToken(&'static str),
}

impl BrowserError {
    /// What to do about it, if anything helps.
    fn advice(&self) -> Option<&'static str> {
        let code = match self {
            Self::Refused { code, .. } | Self::TokensRefused(code) => code.as_str(),
            _ => return None,
        };
        match code {
            "invalid_client" => Some("check client-id and client-secret-file"),
            "unauthorized_client" => Some("allow the authorization code grant for the app client"),
            "invalid_scope" => Some("allow the scope openid for the app client"),
            "invalid_grant" => Some("sign in again"),
            _ => None,
        }
    }
}

impl From<ExchangeError> for BrowserError {
    fn from(reason: ExchangeError) -> Self {
        Self::ExchangeError(reason)
    }
}

impl fmt::Display for BrowserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDomain => f.write_str(
                "domain is not set; a sign-in in the browser needs the pool's managed-login domain",
            ),
            Self::Domain(domain) => {
                write!(f, "domain is no host name like name.auth.eu-west-1.amazoncognito.com: {domain}")
            }
            Self::Listen(port, _) => write!(
                f,
                "cannot listen on localhost:{port}; set redirect-port to a free port and register \
                 http://localhost:PORT/callback with the app client"
            ),
            Self::TimedOut => f.write_str("the browser did not come back within five minutes"),
            Self::Refused { code, description } => {
                write!(f, "the login page answered {code}")?;
                description.as_ref().map_or(Ok(()), |description| write!(f, ": {description}"))
            }
            Self::TokensRefused(code) => write!(f, "the token endpoint answered {code}"),
            Self::Foreign(_) => f.write_str("the token endpoint was not reached"),
            Self::ExchangeError(_) => f.write_str("the token endpoint did not answer"),
            Self::Unintelligible => f.write_str("the token endpoint's answer makes no sense"),
            Self::IdToken(reason) => write!(f, "the ID token is refused: {reason}"),
        }?;
        self.advice().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

impl Error for BrowserError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen(_, source) => Some(source),
            Self::Foreign(answer) => Some(answer),
            Self::ExchangeError(source) => Some(source),
            _ => None,
        }
    }
}
