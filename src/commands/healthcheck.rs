//! `countersign healthcheck`: asks a running proxy's `/readyz`, for images without a shell.

use std::process::ExitCode;

use super::{Failure, readiness};
use crate::config::{Arguments, Config, Environment};

pub(super) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode, Failure> {
    let config = Config::for_healthcheck(arguments, environment)?;
    match readiness::ask(&config.admin_listen, readiness::DEADLINE).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(not_ready) => Err(Failure::runtime(format!("not ready: {not_ready}"))),
    }
}
