//! Parses the command line, runs the command, maps its end to an exit code.

use std::{process::ExitCode, time::Duration};

use countersign::{cli, commands, process, telemetry};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn main() -> ExitCode {
    process::harden();
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            // Help and usage go where clap sends them; a closed pipe is the reader's choice.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let _log = telemetry::open_log();
    if let Err(error) = process::check_resources() {
        return commands::Failure::from(error).report();
    }
    // Clients are served by threads of their own; what is left fits into one. The thread for work on files stays: where
    // the system gives no other later on, work waits for this one instead of panicking for want of any.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_keep_alive(YEAR).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return commands::Failure::from(error).report(),
    };
    drop(runtime.spawn_blocking(|| {}));
    let code = match runtime.block_on(commands::run(command)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    };
    // A write that is under way in a thread of the runtime gets time to finish; a disk that hangs gets no more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}
