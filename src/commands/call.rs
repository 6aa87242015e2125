//! `countersign call`: one signed request, its response body to stdout.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
};

use http::{Response, Version};
use http_body_util::BodyExt;

use super::{
    Failure, explanation, print_aside,
    sign_in::{self, until_signal},
    start_log, typed_request,
};
use crate::{
    cli,
    clock::Clock,
    config::{Arguments, CallConfig, Config, Environment},
    credentials::{channel, provider::IssuedCredentials},
    proxy::{AnswerHead, Body, MAX_READ, Meaning, ProxyError, Ready, Sent, SigningClient},
    telemetry::{self, metrics::Metrics},
};

/// As curl ends with `--fail-with-body`.
pub(super) const REFUSED: u8 = 22;

pub(super) async fn run(
    request: cli::Call,
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
    let ready = typed_request::prepare(&pipeline, &request, &config.proxy)?;
    until_signal(async {
        publisher.issued(sign_in(&config, &clock).await?, clock.now());
        exchange(&pipeline, &ready, &request).await
    })
    .await
}

async fn exchange(
    pipeline: &SigningClient,
    ready: &Ready<'_>,
    request: &cli::Call,
) -> Result<ExitCode, Failure> {
    let sent = pipeline.call(ready).await.map_err(|error| unanswered(&error))?;
    if request.include {
        print_aside(head(&sent.response)).await?;
    }
    print_answer(pipeline, ready, sent, request.verbose).await
}

/// Prints the body of an answer to stdout, and what a refusal means to stderr; with `verbose` also what was signed.
pub(super) async fn print_answer(
    pipeline: &SigningClient,
    ready: &Ready<'_>,
    sent: Sent,
    verbose: bool,
) -> Result<ExitCode, Failure> {
    let refusal = AnswerHead::of(&sent.response);
    let status = sent.response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let beginning = print_body(sent.response.into_body()).await?;
    if refusal.is_some() || failed && verbose {
        let explained = pipeline.explain(ready, &sent.issued.credentials, sent.signed_at);
        let (signed, explained) = explained.map_err(Failure::runtime)?;
        if failed && verbose {
            let text = explanation::of(ready, &signed, &explained, &sent.issued.credentials);
            telemetry::say(&format!("\n{text}\n"));
        }
        let facts = ready.signed_facts(&explained.canonical_request, sent.signed_at);
        let meaning = refusal.as_ref().and_then(|head| Meaning::of_answer(head, &beginning, &facts));
        if let (Some(head), Some(meaning)) = (&refusal, meaning) {
            telemetry::say(&format!("countersign: {}", explanation::of_meaning(head, &meaning)));
        }
    }
    Ok(if failed { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

/// Why there is no answer, and what to do about it.
pub(super) fn unanswered(error: &ProxyError) -> Failure {
    let meaning = Meaning::of_error(error);
    let causes = telemetry::causes(error);
    let causes = if causes.is_empty() { String::new() } else { format!(": {causes}") };
    Failure::runtime(format!("{}{causes}\n  tip: {}", meaning.cause, meaning.cure))
}

/// Credentials, or the reason why there are none.
pub(super) async fn sign_in(config: &CallConfig, clock: &Clock) -> Result<IssuedCredentials, Failure> {
    sign_in::credentials(&config.credentials, &config.aws_http, clock).await
}

/// The response head as curl prints it.
fn head(response: &Response<Body>) -> Vec<u8> {
    let version = if response.version() == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("{version} {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Writes the body as it comes, and returns its beginning. On a terminal it ends a line, so that the prompt begins one;
/// elsewhere not a byte is added.
async fn print_body(mut body: Body) -> Result<Vec<u8>, Failure> {
    let mut last = b'\n';
    let mut beginning = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failure::runtime)?;
        if let Ok(data) = frame.into_data() {
            last = data.last().copied().unwrap_or(last);
            beginning.extend_from_slice(&data[..data.len().min(MAX_READ - beginning.len())]);
            print_aside(data).await?;
        }
    }
    if last != b'\n' && io::stdout().is_terminal() {
        print_aside("\n").await?;
    }
    Ok(beginning)
}
