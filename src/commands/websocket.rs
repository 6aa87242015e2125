//! `countersign ws`: a WebSocket of an API for a terminal or a pipe, whose handshake is signed as by the proxy.

mod conversation;
mod lines;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use super::{Failure, call, start_log, typed_request};
use crate::{
    cli,
    clock::Clock,
    config::{Arguments, Config, Environment},
    credentials::channel,
    proxy::{ApiEnd, ClientHandshake, Connected, SigningClient},
    shutdown::Signals,
    telemetry::{self, metrics::Metrics},
};
use conversation::{Conversation, Ending, Pauses};

/// How long a program that pipes its messages in waits for the answers, if it says nothing else.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);
/// Codes of a connection that ended as it should: closed normally, going away, and none.
const CLEAN: [Option<u16>; 3] = [Some(1000), Some(1001), None];

pub(super) async fn run(
    request: &cli::WebSocket,
    arguments: &Arguments,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let config = Config::for_call(arguments, environment)?;
    start_log(&config.telemetry, &config.warnings)?;
    let clock = Clock::system();
    let (publisher, receiver) = channel::channel(clock.clone());
    let metrics = Arc::new(Metrics::default());
    let pipeline =
        SigningClient::new(&config.proxy, receiver, clock.clone(), metrics).map_err(Failure::runtime)?;
    let handshake = typed_request::prepare_handshake(&pipeline, request, &config.proxy)?;
    let mut signals = Signals::listen_beside_another()?;
    let connecting = async {
        publisher.issued(call::sign_in(&config, &clock).await?, clock.now());
        handshake.connect(&pipeline).await.map_err(|error| call::unanswered(&error))
    };
    let connected = tokio::select! {
        connected = connecting => connected?,
        signal = signals.next() => return Err(Failure::Interrupted(signal)),
    };
    match connected {
        Connected::Refused(sent) => tokio::select! {
            refused = refused(&pipeline, &handshake, sent, request.verbose) => refused,
            signal = signals.next() => Err(Failure::Interrupted(signal)),
        },
        Connected::Open { connection, protocol } => {
            let is_typed = io::stdin().is_terminal();
            if is_typed {
                greet(&handshake, protocol.as_deref());
            }
            let default_wait = if is_typed { Duration::ZERO } else { DEFAULT_WAIT };
            let wait = request.wait.unwrap_or(default_wait);
            let pauses = Pauses { wait, write: config.proxy.timeouts.idle };
            let conversation = Conversation::begin(connection, lines::of_stdin()?, pauses).await;
            report(conversation.hold(&mut signals).await?, &handshake, is_typed)
        }
    }
}

/// Prints the answer that is no 101, with what it means.
async fn refused(
    pipeline: &SigningClient,
    handshake: &ClientHandshake<'_>,
    sent: crate::proxy::Sent,
    verbose: bool,
) -> Result<ExitCode, Failure> {
    let status = sent.response.status();
    call::print_answer(pipeline, handshake.ready(), sent, verbose).await?;
    telemetry::say(&format!(
        "countersign: the API answered {status} and opened no WebSocket; such an answer has 101\n"
    ));
    Ok(ExitCode::from(call::REFUSED))
}

fn greet(handshake: &ClientHandshake<'_>, protocol: Option<&str>) {
    let protocol = protocol.map(|name| format!(" (subprotocol {name})")).unwrap_or_default();
    telemetry::say(&format!(
        "countersign: connected to {}{protocol}; each line is sent as a message, Ctrl-D closes\n",
        handshake.ready().upstream()
    ));
}

/// Says how the connection ended; the exit code for it.
fn report(ending: Ending, handshake: &ClientHandshake<'_>, is_typed: bool) -> Result<ExitCode, Failure> {
    match ending {
        Ending::Interrupted(signal) => Err(Failure::Interrupted(signal)),
        Ending::ByUser { is_answered } => {
            if !is_answered {
                telemetry::say(
                    "countersign: the API did not answer the Close frame; the connection is cut\n",
                );
            } else if is_typed {
                telemetry::say("countersign: closed with 1000\n");
            }
            Ok(ExitCode::SUCCESS)
        }
        Ending::ByApi { close, reason, lasted, silence } => {
            let (cause, cure) = handshake.meaning_of(&ApiEnd { close, lasted, silence });
            let code = close.flatten().map(|code| format!(" with {code}")).unwrap_or_default();
            let reason = if reason.is_empty() { String::new() } else { format!(" ({reason:?})") };
            let tip = if cure.is_empty() { String::new() } else { format!("\n  tip: {cure}") };
            let text = format!("the API closed the connection{code}{reason}: {cause}{tip}");
            if !close.is_some_and(|code| CLEAN.contains(&code)) {
                return Err(Failure::runtime(text));
            }
            telemetry::say(&format!("countersign: {text}\n"));
            Ok(ExitCode::SUCCESS)
        }
        Ending::Broken(error) => Err(Failure::runtime(error)),
    }
}
