//! The request of `call`, `explain` and `ws` on the command line, and the same in the words of `apig-test`.

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};
use serde_json::{Map, Value};

use super::{Call, WebSocket};
use crate::config;

/// The arguments that say what is sent.
pub(super) fn arguments(command: Command) -> Command {
    let positional = |name: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(name)
            .value_name(value_name)
            .help(help)
            .required_unless_present("path-template")
            .conflicts_with_all(["path-template", "method-name"])
    };
    command
        .arg(positional("method", "METHOD", "GET, POST and so on"))
        .arg(positional("path", "PATH", "Path below the upstream's, with or without a query"))
        .arg(option("data", "DATA", "Body of the request; @FILE reads a file, @- standard input").short('d'))
        .args(head())
        .args(former())
}

/// The arguments of a WebSocket handshake.
pub(super) fn websocket_arguments(command: Command) -> Command {
    let path = Arg::new("path")
        .value_name("PATH")
        .help("Path below the upstream's, with or without a query")
        .default_value("/");
    let wait = option("wait", "DURATION", "After the end of the input, time to wait for another message")
        .value_parser(config::duration);
    command
        .arg(path)
        .args(head())
        .arg(option("protocol", "NAME", "Subprotocol to offer").action(ArgAction::Append))
        .arg(wait)
}

/// The arguments for headers and query.
fn head() -> [Arg; 2] {
    [
        option("header", "NAME: VALUE", "Header of the request").short('H').action(ArgAction::Append),
        option("query", "NAME=VALUE", "Parameter to add to the query").action(ArgAction::Append),
    ]
}

fn option(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name).help(help).allow_hyphen_values(true)
}

/// What `apig-test` calls the same things.
fn former() -> [Arg; 8] {
    let option = |name: &'static str| Arg::new(name).long(name).hide(true).allow_hyphen_values(true);
    [
        option("path-template"),
        Arg::new("method-name").long("method").hide(true).requires("path-template"),
        option("params").requires("path-template"),
        option("additional-params"),
        option("body").conflicts_with("data"),
        option("api-key"),
        option("access-token-header"),
        option("cognito-region"),
    ]
}

/// What `apig-test` calls a setting.
pub(super) fn former_name(setting: &str) -> Option<&'static str> {
    match setting {
        "upstream" => Some("invoke-url"),
        "region" => Some("api-gateway-region"),
        "client-id" => Some("app-client-id"),
        _ => None,
    }
}

/// The handshake as typed.
pub(super) fn parse_websocket(matches: &ArgMatches) -> WebSocket {
    let many = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect();
    WebSocket {
        path: matches.get_one::<String>("path").cloned().unwrap_or_default(),
        headers: many("header"),
        query: many("query"),
        protocols: many("protocol"),
        wait: matches.get_one("wait").copied(),
        verbose: matches.get_flag("verbose"),
    }
}

/// The request as typed.
///
/// # Errors
/// When an option of `apig-test` cannot be understood.
pub(super) fn parse(matches: &ArgMatches) -> Result<Call, clap::Error> {
    let one = |name: &str| matches.get_one::<String>(name).cloned();
    let many = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect();
    let mut call = Call {
        method: one("method").or_else(|| one("method-name")).unwrap_or_else(|| "GET".to_owned()),
        path: one("path").unwrap_or_default(),
        data: one("data"),
        headers: many("header"),
        query: many("query"),
        include: false,
        verbose: false,
    };
    if let Some(template) = one("path-template") {
        let params = object(matches, "params")?;
        call.path = expanded(&template, &params).map_err(|message| wrong("params", &message))?;
    }
    additional(matches, &mut call)?;
    if let Some(key) = one("api-key") {
        call.headers.push(format!("x-api-key: {key}"));
    }
    // A body of GET or HEAD is not sent, as it is not by apig-test, which always has one.
    call.data = call.data.or_else(|| one("body").filter(|_| !matches!(call.method.as_str(), "GET" | "HEAD")));
    if one("access-token-header").is_some() {
        return Err(wrong("access-token-header", "is not supported: the access token is not sent anywhere"));
    }
    check_region(matches)?;
    Ok(call)
}

fn additional(matches: &ArgMatches, call: &mut Call) -> Result<(), clap::Error> {
    for (key, value) in object(matches, "additional-params")? {
        let (list, separator) = match key.as_str() {
            "headers" => (&mut call.headers, ": "),
            "queryParams" => (&mut call.query, "="),
            _ => return Err(wrong("additional-params", "knows headers and queryParams only")),
        };
        let Value::Object(entries) = value else {
            return Err(wrong("additional-params", "has an entry that is no JSON object"));
        };
        list.extend(entries.iter().map(|(name, value)| format!("{name}{separator}{}", text(value))));
    }
    Ok(())
}

/// The pools' ids name their region.
fn check_region(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(region) = matches.get_one::<String>("cognito-region") else { return Ok(()) };
    let contradicts = |name: &str, separator: char| {
        let id = matches.try_get_one::<String>(name).ok().flatten();
        id.is_some_and(|id| id.split(separator).next() != Some(region))
    };
    if contradicts("user-pool-id", '_') || contradicts("identity-pool-id", ':') {
        return Err(wrong("cognito-region", "is not the region that the pool's id names"));
    }
    Ok(())
}

fn object(matches: &ArgMatches, name: &'static str) -> Result<Map<String, Value>, clap::Error> {
    let Some(given) = matches.get_one::<String>(name) else { return Ok(Map::new()) };
    serde_json::from_str(given).map_err(|_| wrong(name, "is no JSON object"))
}

/// The template with `{name}` replaced by the encoded values.
fn expanded(template: &str, params: &Map<String, Value>) -> Result<String, String> {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        let value = params.get(name).ok_or_else(|| format!("has no value for {{{name}}}"))?;
        path.push_str(before);
        path.push_str(&encoded(&text(value)));
        rest = after;
    }
    Ok(path + rest)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3).
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn wrong(name: &str, message: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("--{name} {message}\n"))
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};
    use super::*;

    fn call(words: &[&str]) -> Result<Call, clap::Error> {
        let words = ["countersign", "call"].iter().chain(words).copied();
        parse(words).map(|command| match command {
            Command::Call { request, .. } => request,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_options_of_apig_test_keep_their_meaning() {
        let request = call(&[
            "--path-template",
            "/users/{id}/notes?x=1",
            "--params",
            r#"{"id":"eu:a b"}"#,
            "--method",
            "POST",
            "--additional-params",
            r#"{"headers":{"x-a":"1"},"queryParams":{"n":2}}"#,
            "--body",
            "@note.json",
            "--api-key",
            "k",
            "--invoke-url",
            "https://a.execute-api.eu-west-1.amazonaws.com/prod",
            "--api-gateway-region",
            "eu-west-1",
            "--app-client-id",
            "1234567890abcdefghijklmnop",
            "--cognito-region",
            "eu-west-1",
            "--user-pool-id",
            "eu-west-1_AbCdEf123",
        ])
        .expect("valid");
        assert_eq!(
            request,
            Call {
                method: "POST".into(),
                path: "/users/eu%3Aa%20b/notes?x=1".into(),
                data: Some("@note.json".into()),
                headers: vec!["x-a: 1".into(), "x-api-key: k".into()],
                query: vec!["n=2".into()],
                include: false,
                verbose: false,
            }
        );
    }

    #[test]
    fn a_body_beside_get_is_dropped_as_apig_test_does() {
        let request = call(&["--path-template", "/x", "--body", "{}"]).expect("valid");
        assert_eq!((request.method.as_str(), request.data), ("GET", None));
    }

    #[test]
    fn unknown_arguments_are_wrong_usage() {
        for words in [
            &["--path-template", "/{id}"][..],
            &["--path-template", "/{id}", "--params", "[1]"],
            &["GET", "/", "--path-template", "/x"],
            &["GET", "/", "--method", "POST"],
            &["GET", "/", "--additional-params", r#"{"headers":1}"#],
            &["GET", "/", "--additional-params", r#"{"other":{}}"#],
            &["GET", "/", "--access-token-header", "x-token"],
            &["GET", "/", "--cognito-region", "us-east-1", "--user-pool-id", "eu-west-1_A"],
            &["GET", "/", "-d", "a", "--body", "b"],
        ] {
            assert_eq!(call(words).expect_err("wrong").exit_code(), 2, "{words:?}");
        }
    }
}
