//! `countersign explain`: how a request is signed, and where a gateway's view of it differs.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::SystemTime,
};

use aws_credential_types::Credentials;
use time::{PrimitiveDateTime, macros::format_description};

use super::{Failure, call, explanation, print_aside, sign_in::until_signal, start_log, typed_request};
use crate::{
    cli,
    clock::Clock,
    config::{Arguments, Config, Environment, ExplainConfig},
    credentials::channel,
    proxy::SigningClient,
    signing::{Computed, compare},
    telemetry::metrics::Metrics,
};

/// Bytes of a gateway's refusal that are read.
const MAX_REFUSAL: u64 = 1024 * 1024;

pub(super) async fn run(
    request: cli::Call,
    refusal: Option<&Path>,
    online: bool,
    arguments: &Arguments,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let ExplainConfig { proxy, telemetry, warnings } = Config::for_explain(arguments, environment)?;
    start_log(&telemetry, &warnings)?;
    let clock = Clock::system();
    let computed = refusal.map(read).transpose()?;
    let mut credentials = example(computed.as_ref());
    if online {
        let config = Config::for_call(arguments, environment)?;
        credentials = until_signal(call::sign_in(&config, &clock)).await?.credentials;
    }
    let (_, receiver) = channel::channel(clock.clone());
    let metrics = Arc::new(Metrics::default());
    let pipeline = SigningClient::new(&proxy, receiver, clock.clone(), metrics).map_err(Failure::runtime)?;
    let ready = typed_request::prepare(&pipeline, &request, &proxy)?;

    // The gateway saw another moment than this one.
    let time = computed.as_ref().and_then(signing_time).unwrap_or_else(|| clock.now());
    let (signed, explained) = pipeline.explain(&ready, &credentials, time).map_err(Failure::runtime)?;
    let mut text = explanation::of(&ready, &signed, &explained, &credentials);
    if let Some(computed) = &computed {
        let ours = String::from_utf8_lossy(&explained.canonical_request);
        let rows = compare(&ours, &computed.canonical_request);
        text.push('\n');
        text.push_str(&explanation::of_differences(&rows, &credentials));
    }
    print_aside(text).await?;
    Ok(ExitCode::SUCCESS)
}

/// Keys that AWS uses in its documentation, with the token that the gateway saw.
fn example(computed: Option<&Computed>) -> Credentials {
    let token = match computed {
        Some(computed) => computed.header("x-amz-security-token").map(str::to_owned),
        None => Some("example-session-token".to_owned()),
    };
    Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token, None, "example")
}

fn read(file: &Path) -> Result<Computed, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(MAX_REFUSAL).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_REFUSAL).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::runtime(format!("--compare {}: {error}", file.display())))?;
    Computed::find(&text).ok_or_else(|| {
        Failure::runtime(format!(
            "--compare {}: no canonical request in it (\"The Canonical String for this request should have \
             been\")",
            file.display()
        ))
    })
}

fn signing_time(computed: &Computed) -> Option<SystemTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = PrimitiveDateTime::parse(computed.header("x-amz-date")?, format).ok()?;
    Some(time.assume_utc().into())
}
