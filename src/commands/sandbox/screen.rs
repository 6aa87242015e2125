//! What a person reads once the sandbox runs: where everything is, what to type, and the journey of one request.

use std::fmt;

use http::{StatusCode, Uri};

/// The first screen.
pub(super) struct Screen<'a> {
    pub(super) url: &'a str,
    /// With its token, as a browser opens it.
    pub(super) inspector: Option<&'a str>,
    /// A line for a shell.
    pub(super) curl: String,
    pub(super) username: &'a str,
    pub(super) password: &'a str,
    /// The secret of the user's authenticator, if codes are needed.
    pub(super) authenticator_secret: Option<&'a str>,
    pub(super) user_pool: Service,
    pub(super) client_id: &'a str,
    pub(super) identity_pool: Service,
    pub(super) api_url: String,
    /// The files that were written.
    pub(super) written: Vec<&'static str>,
    /// Why the proxy has not signed in, where hooks decide about that.
    pub(super) sign_in_problem: Option<String>,
    /// The request that was sent; nothing where the proxy wants a token, which the screen does not show.
    pub(super) journey: Option<Journey<'a>>,
}

pub(super) struct Service {
    pub(super) id: String,
    pub(super) endpoint: String,
}

/// One request, from the client to the answer.
pub(super) struct Journey<'a> {
    /// The path and query.
    pub(super) target: &'a str,
    /// The identity and the role that it was signed as; nothing if it did not reach the API.
    pub(super) signed_as: Option<(String, String)>,
    pub(super) answer: Answer<'a>,
}

pub(super) enum Answer<'a> {
    /// The API echoed the request.
    Echo(StatusCode),
    /// The user's own server answered.
    Backend(&'a Uri, StatusCode),
    /// The user's own server is not running.
    NoBackend(&'a Uri),
    /// The user's own server took too long, or answered with more than is read here.
    Incomplete(&'a Uri),
}

impl fmt::Display for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_pool, identity_pool, .. } = self;
        writeln!(
            f,
            "\n  Countersign sandbox: Cognito and an API with IAM authorisation, all on this machine\n"
        )?;
        writeln!(f, "  Proxy          {}", self.url)?;
        if let Some(address) = self.url.strip_prefix("http://") {
            writeln!(f, "  WebSocket      ws://{address}  (npx wscat -c ws://{address})")?;
        }
        if let Some(inspector) = self.inspector {
            writeln!(f, "  Inspector      {inspector}")?;
        }
        let label = if self.sign_in_problem.is_some() { "User" } else { "Signed in as" };
        writeln!(f, "  {label:<13}  {}, password {}", self.username, self.password)?;
        if let Some(secret) = self.authenticator_secret {
            writeln!(f, "  Authenticator  {secret}")?;
        }
        writeln!(f, "  User pool      {}  {}, client {}", user_pool.endpoint, user_pool.id, self.client_id)?;
        writeln!(f, "  Identity pool  {}  {}", identity_pool.endpoint, identity_pool.id)?;
        writeln!(f, "  API            {}", self.api_url)?;
        writeln!(f, "  Codes, faults  {}/_sandbox/", user_pool.endpoint)?;
        for (index, name) in self.written.iter().enumerate() {
            writeln!(f, "  {:<13}  {name}", if index == 0 { "Written" } else { "" })?;
        }
        writeln!(f, "\n  Try it:\n\n    {}\n", self.curl)?;
        if let Some(problem) = &self.sign_in_problem {
            writeln!(f, "  The proxy has not signed in, which a trigger may prevent; the log has more:\n")?;
            writeln!(f, "    {problem}\n")?;
        }
        if let Some(journey) = &self.journey {
            writeln!(f, "{journey}")?;
        }
        writeln!(f, "  Press Ctrl-C to stop.\n")
    }
}

impl fmt::Display for Journey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  That request, sent once already:\n")?;
        writeln!(f, "    client   sent GET {} without a signature", self.target)?;
        let Some((identity_id, user_arn)) = &self.signed_as else {
            return writeln!(f, "    proxy    refused it; the log has the reason");
        };
        writeln!(f, "    proxy    signed it as {identity_id}")?;
        writeln!(f, "             {user_arn}")?;
        writeln!(f, "    API      verified the signature")?;
        if !matches!(self.answer, Answer::Echo(_)) {
            writeln!(f, "             added the identity in headers, such as x-countersign-identity-id")?;
        }
        match &self.answer {
            Answer::Echo(status) => {
                writeln!(
                    f,
                    "             answered {status}, with the event that a Lambda function would receive"
                )
            }
            Answer::Backend(backend, status) => {
                writeln!(f, "    backend  {} answered {status}", base(backend))
            }
            Answer::NoBackend(backend) => {
                writeln!(f, "    backend  {} did not answer: start it and try again", base(backend))
            }
            Answer::Incomplete(backend) => {
                writeln!(f, "    backend  {} has not finished its answer yet", base(backend))
            }
        }
    }
}

fn base(url: &Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(answer: Answer<'_>) -> String {
        let user_arn =
            "arn:aws:sts::123456789012:assumed-role/sandbox-authenticated/CognitoIdentityCredentials";
        let identity_id = "eu-west-1:01234567-89ab-cdef-0123-456789abcdef";
        let (url, target) = ("http://localhost:8181", "/hello?name=world");
        let screen = Screen {
            url,
            inspector: Some("http://localhost:8182/inspect#0123456789012345678901234567890123456789012"),
            curl: format!("curl '{url}{target}'"),
            username: "demo",
            password: "Sandbox-password-1",
            authenticator_secret: Some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
            user_pool: Service {
                id: "eu-west-1_Sandbox01".to_owned(),
                endpoint: "http://127.0.0.1:36981".to_owned(),
            },
            client_id: "5sandboxpublicclient0000001",
            identity_pool: Service {
                id: "eu-west-1:5a4db0c5-1f2e-4d3c-8b9a-000000000001".to_owned(),
                endpoint: "http://127.0.0.1:40793".to_owned(),
            },
            api_url: "http://127.0.0.1:41043/prod".to_owned(),
            written: vec!["amplify_outputs.json", ".countersign-sandbox-password"],
            sign_in_problem: None,
            journey: Some(Journey {
                target,
                signed_as: Some((identity_id.to_owned(), user_arn.to_owned())),
                answer,
            }),
        };
        screen.to_string()
    }

    #[test]
    fn no_line_wraps_on_a_terminal_of_100_columns() {
        let backend = Uri::from_static("http://localhost:3000/");
        for answer in [
            Answer::Echo(StatusCode::OK),
            Answer::Backend(&backend, StatusCode::OK),
            Answer::NoBackend(&backend),
        ] {
            let screen = screen(answer);
            for line in screen.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }

    #[test]
    fn a_journey_ends_with_what_answered() {
        let backend = Uri::from_static("http://localhost:3000/");
        for (answer, end) in [
            (Answer::Echo(StatusCode::OK), "answered 200 OK, with the event"),
            (
                Answer::Backend(&backend, StatusCode::NOT_FOUND),
                "backend  http://localhost:3000 answered 404 Not Found",
            ),
            (Answer::NoBackend(&backend), "backend  http://localhost:3000 did not answer: start it"),
        ] {
            let screen = screen(answer);
            assert!(screen.contains(end), "{screen}");
        }
    }
}
