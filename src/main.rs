//! Parses the command line, runs the command and maps its result to an exit code.

use std::{process::ExitCode, time::Duration};

use countersign::{
    cli,
    commands::{self, Ended},
    process, telemetry,
};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn main() -> Ended {
    process::harden();
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            // Fails only when the reader has closed the pipe.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)).into();
        }
    };
    let _log = telemetry::open_log();
    if let Err(error) = process::check_resources() {
        return commands::Failure::from(error).report().into();
    }
    // One thread is enough here, since clients are served by worker threads. The blocking thread, started below, stays
    // for the life of the process: without any, tokio would panic when the system refuses a new thread later.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_keep_alive(YEAR).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return commands::Failure::from(error).report().into(),
    };
    drop(runtime.spawn_blocking(|| {}));
    let ended = match runtime.block_on(commands::run(command)) {
        Ok(ended) => ended,
        Err(failure) => failure.report().into(),
    };
    // Lets a write on a blocking thread finish, but does not wait for a disk that hangs.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
