//! Sends a mixed load through an instrumented build, which writes its profile when it ends: `deploy/build-profiled` runs
//! it.
//!
//! The load needs no program but the one under training: Cognito is a sandbox in this process, and so is the API, over
//! TLS, once with HTTP/1.1 and once with HTTP/2. The phases follow the rows of `bench/run`, with what operations bring
//! besides: several starts, refused requests, a gateway's 403, event streams, new connections, probes, and credentials
//! that are refreshed while requests go on.

mod load;
mod origin;
mod program;
#[path = "../../tests/support/tls.rs"]
#[expect(dead_code, reason = "of the tests' TLS, only the certificates are needed")]
mod tls;

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use countersign::sandbox;

use load::{Phase, Request};
use origin::Origin;
use program::Program;
use tls::Authority;

/// Credentials are refreshed a few times while the load runs.
const CREDENTIALS_LIFETIME: Duration = Duration::from_secs(10);

/// How long the whole load runs, unless the command line names other seconds.
const LOAD: Duration = Duration::from_secs(50);

/// How often the program is started before the load. What runs only once counts as cold, and is made small instead of
/// fast: with one start in the training, `--help` and other short commands took 4 to 8 % longer than without a profile.
const STARTS: usize = 8;

/// What is asked for, over how many connections, and its share of the time.
const PHASES: [(Request, usize, u32); 16] = [
    (Request::Small, 1, 4),
    (Request::Small, 16, 4),
    (Request::Small, 64, 8),
    (Request::Get(16 << 10), 16, 4),
    (Request::Get(1 << 20), 4, 3),
    (Request::Post(1 << 10), 16, 4),
    (Request::Post(100 << 10), 8, 2),
    (Request::Post(5 << 20), 2, 2),
    (Request::Chunked(20 << 10), 4, 1),
    (Request::Put(2 << 10), 4, 1),
    (Request::Query, 8, 2),
    (Request::Events, 16, 1),
    (Request::NewConnection, 4, 1),
    (Request::WrongHost, 4, 1),
    (Request::Denied, 4, 1),
    (Request::Probe, 1, 1),
];

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(binary), seconds) = (arguments.next(), arguments.next()) else {
        return fail("the program to train is missing: train target/…/countersign [SECONDS]");
    };
    let load = match seconds.map(|seconds| seconds.parse()).transpose() {
        Ok(seconds) => seconds.map_or(LOAD, Duration::from_secs),
        Err(_) => return fail("the second argument is a number of seconds"),
    };
    match train(PathBuf::from(binary), load).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn train(binary: PathBuf, load: Duration) -> Result<(), String> {
    let settings =
        sandbox::Settings { credentials_lifetime: CREDENTIALS_LIFETIME, ..sandbox::Settings::default() };
    let sandbox = sandbox::start(settings).await.map_err(|error| format!("no sandbox: {error}"))?;
    let authority = Authority::new();
    let origins = [
        ("/h1", Origin::start(&authority, &["http/1.1"]).await),
        ("/h2", Origin::start(&authority, &["h2", "http/1.1"]).await),
    ];
    let upstreams: Vec<_> = origins.iter().map(|(prefix, origin)| (*prefix, origin.url())).collect();
    let once = Phase { request: Request::Small, connections: 1, time: Duration::ZERO };
    for _ in 0..STARTS {
        let program = Program::start(&binary, &sandbox, &authority, &upstreams).await?;
        for (prefix, _) in &upstreams {
            once.run(&program, prefix).await?;
        }
        program.stop().await?;
    }
    report(&format!("started {STARTS} times"));
    let program = Program::start(&binary, &sandbox, &authority, &upstreams).await?;
    let shares: u32 = PHASES.iter().map(|(_, _, share)| share).sum();
    let routes = u32::try_from(origins.len()).expect("two");
    for (request, connections, share) in PHASES {
        for (prefix, _) in &upstreams {
            let phase = Phase { request, connections, time: load * share / shares / routes };
            let answers = phase.run(&program, prefix).await?;
            report(&format!("{request:?} over {connections} to {prefix}: {answers} answers"));
        }
    }
    program.stop().await
}

#[expect(clippy::print_stderr, reason = "a program for the terminal")]
fn report(line: &str) {
    eprintln!("training: {line}");
}

fn fail(error: &str) -> ExitCode {
    report(error);
    ExitCode::FAILURE
}
