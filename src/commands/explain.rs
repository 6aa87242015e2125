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
use serde::Deserialize;
use time::{PrimitiveDateTime, macros::format_description};

use super::{Failure, call, explanation, print_aside, sign_in::until_signal, start_log, typed_request};
use crate::{
    cli,
    clock::Clock,
    config::{Arguments, Config, Environment, ExplainConfig},
    credentials::channel,
    proxy::{AnswerHead, Meaning, SignedFacts, SigningClient},
    signing::{Computed, compare},
    telemetry::metrics::Metrics,
};

/// Bytes of a saved answer that are read.
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
    let saved = refusal.map(read).transpose()?;
    let computed = saved.as_deref().and_then(Computed::find);
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
    if let (Some(saved), Some(file)) = (&saved, refusal) {
        match meaning(saved, &ready.signed_facts(&explained.canonical_request, time)) {
            Some(meaning) => text.push_str(&format!("\n{meaning}")),
            None if computed.is_some() => {}
            None => return Err(nothing_known(file)),
        }
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

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(MAX_REFUSAL).read_to_end(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_REFUSAL).read_to_end(&mut text))
    };
    read.map_err(|error| Failure::runtime(format!("--compare {}: {error}", file.display())))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What a saved answer means: a gateway's, or one of the proxy itself.
fn meaning(saved: &str, facts: &SignedFacts) -> Option<String> {
    let (head, body) = AnswerHead::of_saved(saved);
    let problem: Option<Problem> = serde_json::from_str(body).ok();
    if let Some(problem) =
        problem.filter(|problem| problem.r#type == format!("urn:countersign:{}", problem.code))
    {
        return Some(format!("the proxy itself answered ({}): {}\n", problem.code, problem.detail));
    }
    let head = head?;
    let meaning = Meaning::of_answer(&head, body.as_bytes(), facts)?;
    Some(explanation::of_meaning(&head, &meaning))
}

fn nothing_known(file: &Path) -> Failure {
    Failure::runtime(format!(
        "--compare {}: this is no refusal or failure in the words of a gateway, so that the application may have \
         answered it\n  tip: save the whole answer with its headers: curl -i",
        file.display()
    ))
}

/// The parts of the proxy's own answer that explain it.
#[derive(Deserialize)]
struct Problem {
    r#type: String,
    code: String,
    detail: String,
}

fn signing_time(computed: &Computed) -> Option<SystemTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = PrimitiveDateTime::parse(computed.header("x-amz-date")?, format).ok()?;
    Some(time.assume_utc().into())
}
