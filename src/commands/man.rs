//! `countersign man`: the manual pages.

use std::{fs, io, path::Path, path::PathBuf, process::ExitCode};

use tokio::task::spawn_blocking;

use super::Failure;
use crate::cli;

pub(super) async fn run(folder: PathBuf) -> Result<ExitCode, Failure> {
    // On a blocking thread, so that a signal ends the command while a disk is slow.
    spawn_blocking(move || {
        write(&folder).map_err(|error| {
            Failure::runtime(format!("cannot write the manual pages to {}: {error}", folder.display()))
        })
    })
    .await
    .map_err(Failure::runtime)??;
    Ok(ExitCode::SUCCESS)
}

/// Writes `countersign.1`, and `countersign-COMMAND.1` for each command.
fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(cli::tree(), folder)
}
