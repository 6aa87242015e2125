//! `countersign healthcheck`: asks a running proxy's `/readyz`, for images without a shell.

use std::{process::ExitCode, time::Duration};

use super::{Failure, local_http};
use crate::config::{Arguments, Config, Environment};

const DEADLINE: Duration = Duration::from_secs(2);

pub(super) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode, Failure> {
    let config = Config::for_healthcheck(arguments, environment)?;
    let listen = config.admin_listen;
    match local_http::get(&listen, "/readyz", DEADLINE).await {
        Ok((status, _)) if status.is_success() => Ok(ExitCode::SUCCESS),
        Ok((_, body)) => {
            let reasons = String::from_utf8_lossy(&body).trim().to_owned();
            Err(Failure::runtime(format!("not ready: {reasons}")))
        }
        Err(error) => Err(Failure::runtime(format!("no answer of the admin listener at {listen}: {error}"))),
    }
}
