//! `countersign man`: the manual pages.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use tokio::task::spawn_blocking;

use super::Failure;
use crate::{cli, clock::Clock, config::Environment, rfc3339};

pub(super) async fn run(folder: PathBuf, environment: &Environment) -> Result<ExitCode, Failure> {
    let date = date(environment)?;
    // On a blocking thread, so that a signal ends the command while a disk is slow.
    spawn_blocking(move || {
        write(&folder, &date).map_err(|error| {
            Failure::runtime(format!("cannot write the manual pages to {}: {error}", folder.display()))
        })
    })
    .await
    .map_err(Failure::runtime)??;
    Ok(ExitCode::SUCCESS)
}

/// The day in the footer: today, or that of `SOURCE_DATE_EPOCH`, so that packages can be built again bit by bit.
fn date(environment: &Environment) -> Result<String, Failure> {
    let (time, wrong) = match environment.source_date() {
        None => (Some(Clock::system().now()), String::new()),
        Some(text) => {
            let since_epoch = text.parse().ok().map(Duration::from_secs);
            let time = since_epoch.and_then(|passed| SystemTime::UNIX_EPOCH.checked_add(passed));
            (time, format!("SOURCE_DATE_EPOCH is {text:?}: it must be a time in seconds since 1970"))
        }
    };
    let text = time.and_then(rfc3339::seconds);
    let day = text.as_deref().and_then(|text| text.split_once('T'));
    day.map(|(day, _)| day.to_owned()).ok_or_else(|| Failure::runtime(wrong))
}

/// Writes `countersign.1`, and `countersign-COMMAND.1` for each command.
fn write(folder: &Path, date: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    cli::manual::pages(date).into_iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
}
