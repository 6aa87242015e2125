//! What a newcomer gets wrong, and the words that each mistake is answered with: what is wrong, with which value, and
//! what to type.

use countersign::{
    cli::{self, Command},
    config::Config,
};

use super::{IDENTITY_POOL, Run};

/// What the program prints for this command line, with these variables beside a complete configuration.
fn printed(line: &str, variables: &[(&str, &str)], file: Option<&str>) -> String {
    let mut run = Run::complete();
    for (name, value) in variables {
        run = run.variable(name, value);
    }
    if let Some(file) = file {
        run = run.file(file);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let result = match cli::parse(["countersign"].iter().chain(&words)) {
        Err(error) => return error.to_string().trim_end().to_owned(),
        Ok(Command::Check { settings, .. } | Command::Serve(settings)) => {
            run.arguments = settings;
            run.serve().map(|config: Config| [config.warnings.clone(), config.doubts()].concat())
        }
        Ok(other) => panic!("{other:?} is not part of the table"),
    };
    match result {
        Err(error) => format!("countersign: {error}"),
        Ok(warnings) => {
            warnings.iter().map(|text| format!("countersign: warning: {text}")).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Command line, variables, file, and what is printed.
type Mistake<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>, &'a str);

#[test]
fn each_mistake_of_a_newcomer_is_answered_with_what_to_type() {
    let swapped = format!("check --user-pool-id {IDENTITY_POOL}");
    let table: &[Mistake<'_>] = &[
        (
            "check",
            &[("COUNTERSIGN_UPSTREAM", "abc123.execute-api.eu-west-1.amazonaws.com/prod")],
            None,
            "countersign: COUNTERSIGN_UPSTREAM: \"abc123.execute-api.eu-west-1.amazonaws.com/prod\" lacks https://; write https://abc123.execute-api.eu-west-1.amazonaws.com/prod",
        ),
        (
            "check --upstream localhost:3000 --region eu-west-1",
            &[],
            None,
            "countersign: --upstream: \"localhost:3000\" lacks http://; write http://localhost:3000",
        ),
        (
            "check --upstream http://abc123.execute-api.eu-west-1.amazonaws.com/prod",
            &[],
            None,
            "countersign: --upstream: is plain http to abc123.execute-api.eu-west-1.amazonaws.com; write https://abc123.execute-api.eu-west-1.amazonaws.com/prod, since only loopback may be reached without TLS",
        ),
        (
            "check --upstream https://abc123.execute-api.eu-wset-1.amazonaws.com/prod",
            &[],
            None,
            "countersign: --upstream: the host abc123.execute-api.eu-wset-1.amazonaws.com: \"eu-wset-1\" is not an AWS region; did you mean eu-west-1?",
        ),
        (
            "check --upstream https://abc123.execute-api.eu-west-1.amazonws.com/prod",
            &[],
            None,
            "countersign: --upstream: abc123.execute-api.eu-west-1.amazonws.com is not a host of AWS; did you mean abc123.execute-api.eu-west-1.amazonaws.com?",
        ),
        (
            "check --upstream https://api.example.com",
            &[],
            None,
            "countersign: region: is required, since api.example.com does not name a region: set --region, COUNTERSIGN_REGION, or region in the file",
        ),
        (
            "check --upstream https://api.example.com --region eu-wset-1",
            &[],
            None,
            "countersign: --region: \"eu-wset-1\" is not an AWS region; did you mean eu-west-1?",
        ),
        (
            "check --upstream https://api.example.com --region eu-west-9",
            &[],
            None,
            "countersign: warning: --region: eu-west-9 is not a region that this version knows; did you mean eu-west-1?\ncountersign: warning: api.example.com is signed for eu-west-9, and the identity pool is in eu-west-1; check that both are of one deployment",
        ),
        (
            "check --upstream https://abc123.execute-api.eu-west-1.amazonaws.com",
            &[],
            None,
            "countersign: warning: https://abc123.execute-api.eu-west-1.amazonaws.com has no stage; write https://abc123.execute-api.eu-west-1.amazonaws.com/STAGE, unless it is an HTTP API with a $default stage",
        ),
        (
            "check --upstream https://abc123.execute-api.us-east-1.amazonaws.com/prod",
            &[],
            None,
            "countersign: warning: abc123.execute-api.us-east-1.amazonaws.com is signed for us-east-1, and the identity pool is in eu-west-1; check that both are of one deployment",
        ),
        (
            "check --upstream http://localhost:8181 --region eu-west-1",
            &[],
            None,
            "countersign: --upstream: the upstream localhost:8181 is where this proxy itself listens (localhost:8181); each request would come back to it",
        ),
        (
            "check --user-pool-id eu-wset-1_AbCdEf123",
            &[],
            None,
            "countersign: --user-pool-id: the id begins with a mistyped region: \"eu-wset-1\" is not an AWS region; did you mean eu-west-1?",
        ),
        (
            &swapped,
            &[],
            None,
            "countersign: --user-pool-id: \"eu-west-1:01234567-89ab-cdef-0123-456789abcdef\" is the id of an identity pool; set it as identity-pool-id",
        ),
        (
            "check --listen :8181",
            &[],
            None,
            "countersign: --listen: \":8181\" is not a listen address; did you mean localhost:8181?",
        ),
        (
            "check --listen 8181",
            &[],
            None,
            "countersign: --listen: \"8181\" is not a listen address; did you mean localhost:8181?",
        ),
        (
            "check --listen http://localhost:8181",
            &[],
            None,
            "countersign: --listen: \"http://localhost:8181\" is not a listen address; did you mean localhost:8181?",
        ),
        (
            "check --listen 0.0.0.0:8181",
            &[],
            None,
            "countersign: --listen: 0.0.0.0:8181 can be reached from other machines; set bearer-token-file, or allow-unauthenticated",
        ),
        (
            "check --listen localhost:9000 --admin-listen localhost:9000",
            &[],
            None,
            "countersign: --admin-listen: listen and admin-listen are both localhost:9000; choose another port, or --admin-listen off",
        ),
        (
            "check --response-timeout 30",
            &[],
            None,
            "countersign: --response-timeout: \"30\" is a duration without a unit; did you mean 30s?",
        ),
        (
            "check --credentials cogneto",
            &[],
            None,
            "countersign: --credentials: \"cogneto\" is not cognito, guest or aws; did you mean cognito?",
        ),
        (
            "check --allow-origin localhost:5173",
            &[],
            None,
            "countersign: --allow-origin: \"localhost:5173\" lacks its scheme; did you mean http://localhost:5173?",
        ),
        (
            "check",
            &[("AWS_REGION", "\"eu-west-1\""), ("COUNTERSIGN_UPSTREAM", "https://api.example.com")],
            None,
            "countersign: AWS_REGION: has quotes around it; write AWS_REGION=eu-west-1",
        ),
        (
            "check",
            &[("COUNTERSIGN_CLIENT_ID", "client1\r")],
            None,
            "countersign: COUNTERSIGN_CLIENT_ID: ends with a line break (CR or LF); write COUNTERSIGN_CLIENT_ID=client1",
        ),
        (
            "check",
            &[("COUNTERSIGN_CLIENT_ID", " client1")],
            None,
            "countersign: COUNTERSIGN_CLIENT_ID: has blanks around it; write COUNTERSIGN_CLIENT_ID=client1",
        ),
        (
            "check --username ada",
            &[("COUNTERSIGN_PASSWORD", "open-sesame\r")],
            None,
            "countersign: COUNTERSIGN_PASSWORD: ends with a carriage return; save the file with LF as its line end",
        ),
        (
            "check",
            &[("COUNTERSIGN_USERPOOL_ID", "eu-west-1_AbCdEf123")],
            None,
            "countersign: warning: COUNTERSIGN_USERPOOL_ID is not a setting and is ignored; did you mean COUNTERSIGN_USER_POOL_ID?",
        ),
        (
            "check",
            &[],
            Some("listn = 'localhost:1'"),
            "countersign: countersign.toml:1: listn: is not a setting; did you mean listen?",
        ),
        (
            "check",
            &[],
            Some("listen = 8181"),
            "countersign: countersign.toml:1: listen: expected text in quotes, found a whole number; write listen = \"localhost:8181\"",
        ),
        (
            "check",
            &[],
            Some("password = 'open-sesame'"),
            "countersign: countersign.toml:1: password: secrets do not belong in the file: use password-file or the variable COUNTERSIGN_PASSWORD",
        ),
        (
            "serve --port 8080",
            &[],
            None,
            "error: unexpected argument '--port'\n  tip: write --listen localhost:8080",
        ),
        ("serve -v", &[], None, "error: unexpected argument '-v'\n  tip: write --log-level debug"),
        (
            "serve --host localhost",
            &[],
            None,
            "error: unexpected argument '--host'\n  tip: write --listen HOST:PORT for clients, or --upstream https://HOST for the API",
        ),
        (
            "serve --name execute-api",
            &[],
            None,
            "error: unexpected argument '--name'\n  tip: write --service NAME for the service to sign for",
        ),
        (
            "serve -endpoint https://abc123.execute-api.eu-west-1.amazonaws.com",
            &[],
            None,
            "error: unexpected argument '-endpoint'\n  tip: write --upstream https://ID.execute-api.REGION.amazonaws.com/STAGE",
        ),
        (
            "serve -listen localhost:8181",
            &[],
            None,
            "error: unexpected argument '-listen'\n  tip: flags have two dashes: --listen",
        ),
        (
            "serve --profile dev",
            &[],
            None,
            "error: unexpected argument '--profile'\n  tip: write --credentials aws, and set AWS_PROFILE to the name of the profile",
        ),
        (
            "serve --upstraem https://api.example.com",
            &[],
            None,
            "error: unexpected argument '--upstraem'\n  tip: did you mean '--upstream'?",
        ),
        (
            "serve --password open-sesame",
            &[],
            None,
            "error: --password would show the secret to every user of this machine\n  tip: write --password-file FILE, or set the variable COUNTERSIGN_PASSWORD",
        ),
        (
            "login --region eu-west-1",
            &[],
            None,
            "error: unexpected argument '--region'\n  tip: the ids of the pools begin with their region, so that this command needs no other",
        ),
        ("serv", &[], None, "error: there is no command 'serv'\n  tip: did you mean 'serve'?"),
        (
            "call /orders",
            &[],
            None,
            "error: <PATH> is missing\n  tip: write countersign call <METHOD> <PATH>",
        ),
        (
            "exec npm test",
            &[],
            None,
            "error: unexpected argument 'npm'\n  tip: write countersign exec [OPTIONS] -- <PROGRAM>...",
        ),
        ("start", &[], None, "error: there is no command 'start'\n  tip: did you mean 'serve'?"),
        (
            "serve --trust-documents on",
            &[],
            None,
            "error: unexpected argument 'on'\n  tip: write --trust-documents=on",
        ),
        ("-v", &[], None, "error: unexpected argument '-v'\n  tip: did you mean '--version'?"),
    ];
    for (line, variables, file, expected) in table {
        let text = printed(line, variables, *file);
        assert_eq!(&text, expected, "countersign {line} {variables:?} {file:?}");
        assert!(text.lines().count() <= 2 && !text.contains(".:") && !text.contains("sesame"), "{text}");
    }
}
