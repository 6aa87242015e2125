//! `countersign wait`: until a running proxy is ready, for scripts that start one.

use std::{process::ExitCode, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{Failure, readiness};
use crate::config::{Arguments, Config, Environment};

const BETWEEN_QUESTIONS: Duration = Duration::from_millis(100);

/// Even the last question has time for an answer, which says more than that there was none.
const SHORTEST_QUESTION: Duration = Duration::from_millis(500);

pub(super) async fn run(
    longest: Duration,
    arguments: &Arguments,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let listen = Config::for_healthcheck(arguments, environment)?.admin_listen;
    let end = Instant::now() + longest;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let asked = readiness::ask(&listen, left.clamp(SHORTEST_QUESTION, readiness::DEADLINE)).await;
        let Err(not_ready) = asked else { return Ok(ExitCode::SUCCESS) };
        let next = Instant::now() + BETWEEN_QUESTIONS;
        if next >= end {
            let longest = humantime::format_duration(longest);
            return Err(Failure::runtime(format!("not ready after {longest}: {not_ready}")));
        }
        sleep_until(next).await;
    }
}
