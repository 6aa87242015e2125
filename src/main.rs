//! Parses the command line, runs the command, maps its end to an exit code.

use std::process::ExitCode;

use countersign::{cli, commands, process};

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
    // Clients are served by threads of their own; what is left fits into one.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return commands::Failure::from(error).report(),
    };
    let ended = runtime.block_on(commands::run(command));
    // A thread that waits for a disk, for a name or for a reader of stdout may wait forever.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
