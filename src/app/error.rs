//! Why the proxy does not start, or stops early.

use std::{error::Error, fmt, io};

use crate::{aws_http, credentials::user_pool::InvalidTotpSecret, downstream::listener::BindError, proxy};

/// Why the proxy does not start, or stops early.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be bound.
    Bind(BindError),
    /// The data path cannot be built.
    Proxy(proxy::BuildError),
    /// The endpoints of AWS cannot be trusted.
    Trust(aws_http::TrustError),
    /// The source of credentials cannot be used as configured.
    Credentials(InvalidTotpSecret),
    /// The system gives no threads, or all worker threads have panicked.
    Threads(io::Error),
    /// A task that the proxy needs has panicked.
    Task,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "the proxy stopped because one of its tasks exited unexpectedly",
            _ => "the proxy cannot start",
        })
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Proxy(error) => Some(error),
            Self::Trust(error) => Some(error),
            Self::Credentials(error) => Some(error),
            Self::Threads(error) => Some(error),
            Self::Task => None,
        }
    }
}
