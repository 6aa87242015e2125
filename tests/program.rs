//! The built program: what it says, how it ends, and what it keeps to itself.
#![cfg(feature = "sandbox")]

mod support;

use countersign::sandbox::{self, CONFIDENTIAL_CLIENT_ID, CONFIDENTIAL_CLIENT_SECRET, Fault, Service};
use support::{
    Connection,
    program::{
        Program, address, ask, command, folder, run, sandbox, serve, serve_on, signed_in, through_shell,
    },
    tls::{Authority, TlsUpstream},
};
use tokio::net::TcpListener;

fn code(body: &str) -> String {
    let problem: serde_json::Value = serde_json::from_str(body).expect("a problem");
    problem["code"].as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn alone_it_prints_help() {
    let ended = run(command(&[])).await;
    let help = format!("{}{}", ended.stdout, ended.stderr);
    for name in [
        "serve",
        "exec",
        "sandbox",
        "login",
        "logout",
        "whoami",
        "credentials",
        "call",
        "explain",
        "check",
        "healthcheck",
        "inspect",
        "wait",
        "completions",
        "man",
    ] {
        assert!(help.contains(&format!("\n  {name} ")), "{name}: {help}");
    }
}

#[tokio::test]
async fn wrong_usage_is_code_2_and_names_what_was_meant() {
    let ended = run(command(&["serve", "--listenn", "x"])).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--listen'"), "{}", ended.stderr);
    assert_eq!(run(command(&["serv"])).await.code, Some(2));
}

#[tokio::test]
async fn an_invalid_configuration_exits_with_64_and_reports_all_mistakes() {
    let folder = folder();
    std::fs::write(folder.path().join("mistaken.toml"), "upstrem = \"https://x.example\"\n").expect("a file");
    let mut serve = command(&["serve", "--max-body", "1x", "--config", "mistaken.toml"]);
    serve.env("COUNTERSIGN_LISTEN", "nowhere").current_dir(folder.path());
    let ended = run(serve).await;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    for words in ["--max-body", "COUNTERSIGN_LISTEN", "upstrem", "upstream", "mistaken.toml", "user-pool-id"]
    {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn check_shows_values_and_origins_and_no_secret() {
    let (sandbox, folder) = (sandbox().await, folder());
    let mut check = serve(&sandbox, folder.path());
    check.env_remove("COUNTERSIGN_PASSWORD_FILE").env("COUNTERSIGN_PASSWORD", "open-sesame-1");
    let mut arguments = command(&["check", "--max-body", "1MiB"]);
    for (name, value) in check.as_std().get_envs() {
        if let Some(value) = value {
            arguments.env(name, value);
        }
    }
    arguments.current_dir(folder.path());
    let ended = run(arguments).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for words in ["1MiB", "--max-body", "COUNTERSIGN_USERNAME", "demo", "[set]", "COUNTERSIGN_PASSWORD"] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("open-sesame-1") && !ended.stderr.contains("open-sesame-1"));
}

#[tokio::test]
async fn check_shows_what_is_set_and_ends_in_a_verdict() {
    let folder = folder();
    let arguments = [
        "check",
        "--upstream",
        "https://abc123.execute-api.eu-west-1.amazonaws.com",
        "--credentials",
        "aws",
        "--max-body",
        "1MiB",
    ];
    for (more, has_defaults) in [(&[][..], false), (&["--all"][..], true)] {
        let mut check = command(&[&arguments[..], more].concat());
        check.current_dir(folder.path());
        let ended = run(check).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("max-body") && ended.stdout.contains("eu-west-1"), "{ended:?}");
        assert_eq!(ended.stdout.contains("drain-timeout"), has_defaults, "{ended:?}");
        assert!(ended.stdout.ends_with("\nThe configuration is valid, with 1 warning.\n"), "{ended:?}");
        assert_eq!(
            ended.stderr,
            "countersign: warning: https://abc123.execute-api.eu-west-1.amazonaws.com has no stage; write \
             https://abc123.execute-api.eu-west-1.amazonaws.com/STAGE, unless it is an HTTP API with a $default stage\n"
        );
    }
    let mut check = command(&[&arguments[..], &["--json"]].concat());
    check.current_dir(folder.path());
    let report: serde_json::Value = serde_json::from_str(&run(check).await.stdout).expect("JSON alone");
    assert_eq!(report["warnings"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(report["settings"]["max-body"]["value"], "1MiB");
}

#[tokio::test]
async fn a_taken_port_names_its_holder_and_the_flag_that_clashes() {
    let (sandbox, folder) = (sandbox().await, folder());
    let holder = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = holder.local_addr().expect("bound").to_string();
    for (listen, admin, flag) in
        [(taken.as_str(), "127.0.0.1:0", "--listen"), ("127.0.0.1:0", taken.as_str(), "--admin-listen")]
    {
        let arguments = ["serve", "--listen", listen, "--admin-listen", admin];
        let ended = run(signed_in(&arguments, &sandbox, folder.path())).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let holder = format!("(pid {}) listens there\n", std::process::id());
        assert!(ended.stderr.starts_with(&format!("countersign: cannot listen on {taken}: ")), "{ended:?}");
        assert!(ended.stderr.contains(&holder), "{ended:?}");
        assert!(
            ended.stderr.ends_with(&format!("  tip: stop it, or write {flag} localhost:PORT\n")),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn each_command_has_help_of_two_lengths() {
    for name in ["serve", "call", "check", "completions"] {
        let long = run(command(&["help", name])).await;
        let short = run(command(&[name, "-h"])).await;
        assert_eq!((long.code, short.code), (Some(0), Some(0)), "{long:?} {short:?}");
        assert!(long.stdout.contains("Examples:\n  countersign"), "{name}: {long:?}");
        assert!(!short.stdout.contains("Examples:"), "{name}: {short:?}");
        let has_settings = name != "completions";
        assert_eq!(long.stdout.contains("[variable: COUNTERSIGN_"), has_settings, "{name}: {long:?}");
    }
}

#[tokio::test]
async fn check_online_signs_in() {
    let (sandbox, folder) = (sandbox().await, folder());
    for (password, code, words) in
        [("Sandbox-password-1", 0, "credentials obtained for demo"), ("wrong", 1, "password")]
    {
        let mut check = command(&["check", "--online"]);
        for (name, value) in serve(&sandbox, folder.path()).as_std().get_envs() {
            if let Some(value) = value {
                check.env(name, value);
            }
        }
        check.env_remove("COUNTERSIGN_PASSWORD_FILE").env("COUNTERSIGN_PASSWORD", password);
        let ended = run(check).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn completions_are_printed_for_a_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(command(&["completions", shell])).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        for word in ["countersign", "exec", "credentials", "wait", "amplify-outputs"] {
            assert!(ended.stdout.contains(word), "{shell}: {word}");
        }
    }
}

#[tokio::test]
async fn manual_pages_are_written_one_for_each_command() {
    let folder = folder();
    let pages = folder.path().join("manual");
    let ended = run(command(&["man", pages.to_str().expect("a path")])).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for (page, words) in [
        ("countersign.1", "\\fBcountersign\\-serve\\fR(1)"),
        ("countersign-serve.1", "\\fBcountersign\\fR \\fBserve\\fR [\\fIOPTIONS\\fR]"),
        ("countersign-serve.1", "COUNTERSIGN_UPSTREAM"),
        ("countersign-exec.1", "\n.SH \"EXIT STATUS\"\n"),
        ("countersign-call.1", "\n.SH ENVIRONMENT\n"),
        ("countersign-login.1", "\n.SH FILES\n"),
        ("countersign-man.1", "\n.SH \"SEE ALSO\"\n"),
    ] {
        let text = std::fs::read_to_string(pages.join(page)).expect("a page");
        assert!(text.contains(".TH"), "{page}: {text}");
        assert!(text.contains(words), "{page}: {text}");
    }
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "").expect("a file");
    let ended = run(command(&["man", taken.to_str().expect("a path")])).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cannot write the manual pages to") && ended.stderr.contains("/taken"));
}

#[tokio::test]
async fn manual_pages_of_a_package_have_the_day_of_its_sources() {
    let folder = folder();
    let pages = folder.path().to_str().expect("a path");
    for (given, expected) in [("1700000000", Ok("2023-11-14")), ("yesterday", Err("SOURCE_DATE_EPOCH is"))] {
        let mut command = command(&["man", pages]);
        command.env("SOURCE_DATE_EPOCH", given);
        let ended = run(command).await;
        match expected {
            Ok(day) => {
                assert_eq!(ended.code, Some(0), "{ended:?}");
                let page = std::fs::read_to_string(folder.path().join("countersign.1")).expect("a page");
                assert!(page.contains(&format!(".TH COUNTERSIGN 1 {day} ")), "{page}");
            }
            Err(words) => {
                assert_eq!(ended.code, Some(1), "{ended:?}");
                assert!(ended.stderr.contains(words), "{}", ended.stderr);
            }
        }
    }
}

#[tokio::test]
async fn quitting_by_request_is_a_clean_end() {
    let (sandbox, folder) = (sandbox().await, folder());
    let program = Program::start(serve(&sandbox, folder.path()));
    let admin = program.logged("ready", "admin").await;
    let mut connection = Connection::open(address(&admin)).await;
    connection.write("POST /quitquitquit HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(connection.answer().await.0.status, 200);
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test]
async fn the_sandbox_prints_a_line_that_works() {
    let mut arguments =
        command(&["sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--port-base", "0"]);
    let folder = folder();
    arguments.current_dir(folder.path());
    let program = Program::start(arguments);
    let line = program.stdout_line("curl ").await;
    let url = line.split('\'').nth(1).expect("a quoted URL");
    let path = url.find("/hello").expect("a path");
    let (head, body) = ask(&url[..path], &url[path..]).await;
    assert_eq!(head.status, 200, "{body}");
    let event: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(event["queryStringParameters"], serde_json::json!({ "name": "world" }));
    program.signal("INT").await;
    assert_eq!(program.ended().await.code, Some(130));
}

#[tokio::test]
async fn serve_signs_through_endpoints_that_variables_name() {
    let (sandbox, folder) = (sandbox().await, folder());
    let program = Program::start(serve(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    let (head, body) = ask(&url, "/orders?x=1").await;
    assert_eq!(head.status, 200, "{body}");
    let received = sandbox.requests().remove(0);
    assert_eq!(received.target, "/prod/orders?x=1");
    assert!(matches!(received.verdict, sandbox::Verdict::Verified { .. }));
    let line = program.stderr_line("\"request.path\":\"/orders\"").await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&line["status"], &line["origin"], &line["attempts"]),
        (&200.into(), &"upstream".into(), &1.into())
    );
    assert!(line["upstream.request_id"].is_string(), "{line}");
    program.signal("TERM").await;
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(143), ""));
    assert!(!ended.stderr.contains("x=1"), "queries are not logged");
}

#[tokio::test]
async fn the_trace_of_a_request_stands_in_its_line() {
    let (sandbox, folder) = (sandbox().await, folder());
    let program = Program::start(serve(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    let mut connection = Connection::open(address(&url)).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    connection
        .write(format!(
            "GET /traced HTTP/1.1\r\nhost: localhost\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n"
        ))
        .await;
    assert_eq!(connection.answer().await.0.status, 200);
    let line = program.stderr_line("\"request.path\":\"/traced\"").await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["trace_id"], trace, "{line}");
    assert_eq!(ask(&url, "/untraced").await.0.status, 200);
    let line = program.stderr_line("\"request.path\":\"/untraced\"").await;
    assert!(!line.contains("trace_id"), "{line}");
}

#[cfg(not(feature = "otlp"))]
#[tokio::test]
async fn a_collector_that_this_program_cannot_reach_is_mentioned_once() {
    let (sandbox, folder) = (sandbox().await, folder());
    let mut serve = serve(&sandbox, folder.path());
    serve.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    let program = Program::start(serve);
    let url = program.logged("ready", "url").await;
    assert_eq!(ask(&url, "/x").await.0.status, 200);
    program.signal("TERM").await;
    let log = program.ended().await.stderr;
    let told = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this program was built without the feature otlp";
    assert_eq!(log.matches(told).count(), 1, "{log}");
}

#[tokio::test]
async fn a_signal_ends_it_with_the_code_that_shells_expect() {
    let sandbox = sandbox().await;
    for (signal, flag, expected) in
        [("TERM", None, 143), ("INT", None, 130), ("TERM", Some("--exit-zero-on-sigterm"), 0)]
    {
        let folder = folder();
        let mut serve = serve(&sandbox, folder.path());
        serve.args(flag);
        let program = Program::start(serve);
        program.logged("ready", "url").await;
        program.signal(signal).await;
        assert_eq!(program.ended().await.code, Some(expected), "{signal} {flag:?}");
    }
}

#[tokio::test]
async fn a_second_signal_is_final() {
    let (sandbox, folder) = (sandbox().await, folder());
    sandbox.faults().always(sandbox::INVOKE, Fault::Hang);
    let program = Program::start(serve(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    let mut client = Connection::open(address(&url)).await;
    client
        .write("GET /x HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status, 100);
    program.signal("TERM").await;
    program.stderr_line("draining").await;
    program.signal("INT").await;
    assert_eq!(program.ended().await.code, Some(143));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crash_leaves_no_core_file_at_any_limit() {
    let (sandbox, folder) = (sandbox().await, folder());
    let script = "ulimit -Sc $(ulimit -Hc); exec \"$@\"";
    let program = Program::start(through_shell(&serve(&sandbox, folder.path()), script));
    program.logged("ready", "url").await;
    program.signal("ABRT").await;
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.left_core), (None, false), "{ended:?}");
}

#[tokio::test]
async fn a_taken_port_is_code_1_in_plain_words() {
    let (sandbox, folder) = (sandbox().await, folder());
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = run(serve_on(&sandbox, folder.path(), &address)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for words in [address.as_str(), "cannot listen", "--listen"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn healthcheck_tells_readiness_by_its_code() {
    let (sandbox, folder) = (sandbox().await, folder());
    let program = Program::start(serve(&sandbox, folder.path()));
    program.logged("ready", "url").await;
    let admin = program.logged("ready", "admin").await;
    let check =
        |url: &str| run(command(&["healthcheck", "--admin-listen", url.trim_start_matches("http://")]));
    let ready = check(&admin).await;
    assert_eq!(ready.code, Some(0), "{ready:?}");
    program.signal("TERM").await;
    program.ended().await;
    let gone = check(&admin).await;
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("nothing answers at"), "{}", gone.stderr);
}

#[tokio::test]
async fn healthcheck_says_why_the_proxy_is_not_ready() {
    let (sandbox, folder) = (sandbox().await, folder());
    let mut serve = serve(&sandbox, folder.path());
    serve.env_remove("COUNTERSIGN_PASSWORD_FILE").env("COUNTERSIGN_PASSWORD", "wrong");
    let program = Program::start(serve);
    let admin = program.logged("starting", "admin").await;
    program.stderr_line("\"level\":\"ERROR\"").await;
    let ended = run(command(&["healthcheck", "--admin-listen", admin.trim_start_matches("http://")])).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("login-required"), "{}", ended.stderr);
}

#[tokio::test]
async fn wait_ends_when_the_proxy_is_ready() {
    let (sandbox, folder) = (sandbox().await, folder());
    sandbox.stop(Service::UserPool).await;
    let program = Program::start(serve(&sandbox, folder.path()));
    let admin = program.logged("starting", "admin").await;
    let admin = admin.trim_start_matches("http://");
    let impatient = run(command(&["wait", "--max", "1ms", "--admin-listen", admin])).await;
    assert_eq!((impatient.code, impatient.stdout.as_str()), (Some(1), ""), "{impatient:?}");
    let waiting = Program::start(command(&["wait", "--max", "60s", "--admin-listen", admin]));
    program.stderr_line("credentials could not be refreshed").await;
    let impatient = run(command(&["wait", "--max", "2s", "--admin-listen", admin])).await;
    assert!(
        impatient.stderr.starts_with("countersign: not ready after 2s: credentials-unavailable (")
            && impatient.stderr.lines().count() == 1,
        "{impatient:?}"
    );
    sandbox.restart(Service::UserPool).await.expect("the same port");
    assert_eq!(waiting.ended().await.code, Some(0));
}

#[tokio::test]
async fn wait_says_that_nothing_answers() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let ended = run(command(&["wait", "--max", "50ms", "--admin-listen", &address])).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let words = format!("not ready after 50ms: nothing answers at {address}: Connection refused");
    assert!(ended.stderr.contains(&words), "{ended:?}");
    let off = run(command(&["wait", "--admin-listen", "off"])).await;
    assert_eq!(off.code, Some(64), "{off:?}");
}

#[tokio::test]
async fn a_sign_in_that_needs_a_person_says_what_to_do() {
    let sandbox = sandbox().await;
    for (variable, value, words) in [
        ("COUNTERSIGN_PASSWORD", "wrong", "password"),
        ("COUNTERSIGN_CLIENT_ID", "0unknownclient00000000000", "client-id"),
        (
            "COUNTERSIGN_IDENTITY_POOL_ID",
            "eu-west-1:00000000-0000-0000-0000-000000000000",
            "identity-pool-id",
        ),
    ] {
        let folder = folder();
        let mut serve = serve(&sandbox, folder.path());
        if variable == "COUNTERSIGN_PASSWORD" {
            serve.env_remove("COUNTERSIGN_PASSWORD_FILE");
        }
        let program = Program::start(serve_with(serve, variable, value));
        let url = program.logged("starting", "url").await;
        let line = program.stderr_line("\"level\":\"ERROR\"").await;
        assert!(line.contains(words), "{variable}: {line}");
        let (head, body) = ask(&url, "/x").await;
        assert_eq!((head.status, code(&body).as_str()), (503, "login-required"), "{variable}");
        assert!(body.contains(words), "{variable}: {body}");
    }
    assert!(sandbox.requests().is_empty());
}

fn serve_with(mut serve: tokio::process::Command, variable: &str, value: &str) -> tokio::process::Command {
    serve.env(variable, value);
    serve
}

#[tokio::test]
async fn an_unreachable_cognito_is_reported_and_retried() {
    let (sandbox, folder) = (sandbox().await, folder());
    sandbox.stop(Service::UserPool).await;
    let program = Program::start(serve(&sandbox, folder.path()));
    let url = program.logged("starting", "url").await;
    let line = program.stderr_line("\"level\":\"WARN\"").await;
    assert!(line.contains("credentials could not be refreshed"), "{line}");
    let (head, body) = ask(&url, "/x").await;
    assert_eq!((head.status, code(&body).as_str()), (503, "credentials-unavailable"));
    assert!(head.field("retry-after").is_some());
    sandbox.restart(Service::UserPool).await.expect("the same port");
    program.logged("ready", "url").await;
    assert_eq!(ask(&url, "/x").await.0.status, 200);
}

#[tokio::test]
async fn over_http_2_trace_tells_no_session_token_either() {
    let (sandbox, folder, authority) = (sandbox().await, folder(), Authority::new());
    let upstream = TlsUpstream::start(&authority, &["h2"], &sandbox.api_url()).await;
    let mut serve = serve(&sandbox, folder.path());
    serve
        .env("RUST_LOG", "trace")
        .env("COUNTERSIGN_UPSTREAM", upstream.url())
        .env("COUNTERSIGN_CA_FILE", authority.file());
    let program = Program::start(serve);
    let url = program.logged("ready", "url").await;
    for _ in 0..3 {
        assert_eq!(ask(&url, "/x").await.0.status, 200);
    }
    program.signal("TERM").await;
    let log = program.ended().await.stderr;
    assert!(log.contains("\"frame\":\"Headers"), "frames are in the log");
    let requests = sandbox.requests();
    assert_eq!(requests.len(), 3);
    for received in requests {
        let token = received.header("x-amz-security-token").expect("a token");
        assert!(!log.contains(token), "{token} was told");
    }
}

#[tokio::test]
async fn a_whole_session_at_trace_tells_no_secret() {
    let settings = sandbox::Settings {
        credentials_lifetime: std::time::Duration::from_secs(2),
        token_lifetime: std::time::Duration::from_secs(60),
        ..sandbox::Settings::default()
    };
    let (sandbox, folder) = (sandbox::start(settings).await.expect("free ports"), folder());
    let mut serve = serve(&sandbox, folder.path());
    serve
        .env("RUST_LOG", "trace")
        .env("COUNTERSIGN_CLIENT_ID", CONFIDENTIAL_CLIENT_ID)
        .env("COUNTERSIGN_CLIENT_SECRET", CONFIDENTIAL_CLIENT_SECRET)
        .env("COUNTERSIGN_BEARER_TOKEN", "the-token-of-the-clients");
    let program = Program::start(serve);
    let (url, admin) = (program.logged("ready", "url").await, program.logged("ready", "admin").await);
    let mut told = String::new();
    let request = |token: &str, path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-countersign-token: {token}\r\ncookie: session=hush-1\r\n\
             content-length: 13\r\nconnection: close\r\n\r\nbody-secret-1"
        )
    };
    // Two rotations, a refusal that is cured, an outage, and refusals of the proxy's own.
    while sandbox.calls().count("GetCredentialsForIdentity") < 3 {
        let mut connection = Connection::open(address(&url)).await;
        connection.write(request("the-token-of-the-clients", "/x?key=query-secret-1")).await;
        assert_eq!(connection.answer().await.0.status, 200);
    }
    sandbox.expire_credentials();
    sandbox.faults().next("GetCredentialsForIdentity", 1, Fault::Status(500));
    for (token, path) in [
        ("the-token-of-the-clients", "/x"),
        ("the-token-of-the-clients", "/hangup"),
        ("wrong", "/x"),
        ("the-token-of-the-clients", "/x?X-Amz-Signature=0"),
    ] {
        let mut connection = Connection::open(address(&url)).await;
        connection.write(request(token, path)).await;
        let (head, body) = connection.answer().await;
        told.push_str(&format!("{head:?}"));
        if head.status != 200 {
            told.push_str(&String::from_utf8_lossy(&body));
        }
    }
    for path in ["/status", "/metrics", "/readyz"] {
        told.push_str(&ask(&admin, path).await.1);
    }
    let requests = sandbox.requests();
    program.signal("TERM").await;
    let ended = program.ended().await;
    told.push_str(&ended.stdout);
    told.push_str(&ended.stderr);
    assert!(ended.stderr.contains("\"level\":\"TRACE\""), "the log is complete");

    let mut secrets = vec![
        "Sandbox-password-1".to_owned(),
        CONFIDENTIAL_CLIENT_SECRET.to_owned(),
        "the-token-of-the-clients".to_owned(),
        "hush-1".to_owned(),
        "body-secret-1".to_owned(),
        "query-secret-1".to_owned(),
        // The header of every JWT, and so of every token.
        "eyJ".to_owned(),
        "\"SecretKey\"".to_owned(),
    ];
    for received in &requests {
        secrets.extend(received.header("x-amz-security-token").map(str::to_owned));
        let authorization = received.header("authorization").unwrap_or_default();
        secrets.extend(authorization.split("Signature=").nth(1).map(str::to_owned));
    }
    secrets.sort();
    secrets.dedup();
    assert!(secrets.len() > 10, "tokens and signatures were seen");
    for secret in secrets {
        let line = told.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret} was told");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_file_descriptors_it_waits_and_goes_on() {
    let (sandbox, folder) = (sandbox().await, folder());
    let program = Program::start(serve(&sandbox, folder.path()));
    let url = program.logged("ready", "url").await;
    assert_eq!(ask(&url, "/before").await.0.status, 200);
    let process = rustix::process::Pid::from_raw(program.id().cast_signed());
    let few = rustix::process::Rlimit { current: Some(40), maximum: Some(40) };
    rustix::process::prlimit(process, rustix::process::Resource::Nofile, few).expect("a process of ours");
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(Connection::open(address(&url)).await);
    }
    program.stderr_line("a connection could not be accepted").await;
    assert_eq!(ask(&url, "/during").await.0.status, 200, "idle connections give way");
    drop(crowd);
    assert_eq!(ask(&url, "/after").await.0.status, 200);
}
