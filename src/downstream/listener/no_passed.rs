//! In place of socket activation where there is no systemd: no sockets are ever passed.

use std::convert::Infallible;

use super::{Listen, Listener};

/// The passed sockets: none.
#[derive(Debug, Default)]
pub struct Passed {
    pub(crate) data: Vec<Listener>,
    pub(crate) admin: Vec<Listener>,
}

/// Nothing is passed, so that nothing can be wrong with it.
pub type PassedError = Infallible;

impl Passed {
    /// Takes no sockets.
    ///
    /// # Errors
    /// Never.
    pub fn take(_names: &str) -> Result<Self, PassedError> {
        Ok(Self::default())
    }

    /// The addresses of the sockets for clients: none.
    #[must_use]
    pub fn addresses(&self) -> Vec<Listen> {
        Vec::new()
    }
}
