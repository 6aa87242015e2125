//! `countersign wait`: until a running proxy is ready, for scripts that start one.

use std::{process::ExitCode, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{Failure, readiness};
use crate::config::{Arguments, Config, Environment};

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The last question still has time for an answer, which says more than a timeout does.
const MIN_QUESTION: Duration = Duration::from_millis(500);

pub(super) async fn run(
    max_wait: Duration,
    arguments: &Arguments,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let listen = Config::for_healthcheck(arguments, environment)?.admin_listen;
    let end = Instant::now() + max_wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let asked = readiness::ask(&listen, left.clamp(MIN_QUESTION, readiness::DEADLINE)).await;
        let Err(not_ready) = asked else { return Ok(ExitCode::SUCCESS) };
        let next = Instant::now() + POLL_INTERVAL;
        if next >= end {
            let max_wait = humantime::format_duration(max_wait);
            return Err(Failure::runtime(format!("not ready after {max_wait}: {not_ready}")));
        }
        sleep_until(next).await;
    }
}
