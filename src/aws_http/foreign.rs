//! Responses that AWS did not send: those of a captive portal, a web filter, a proxy that wants a password.
//!
//! Whatever their status, they say nothing about tokens or users.

use std::{error::Error, fmt};

use aws_smithy_runtime_api::http::Headers;

/// How much of the title of a page is shown, in characters.
const MAX_TITLE: usize = 100;

/// How much of a page is searched for its title, in bytes.
const MAX_SEARCHED: usize = 64 * 1024;

/// Headers of which every response of AWS has one: Cognito and STS, Cognito's managed login, the S3 services, and
/// errors of the JSON protocol.
const AWS_HEADERS: [&str; 4] =
    ["x-amzn-requestid", "x-amz-cognito-request-id", "x-amz-request-id", "x-amzn-errortype"];

/// The media type of Cognito's protocol in all versions. Emulators send it too, without request ids.
const JSON_PROTOCOL: &str = "application/x-amz-json-";

/// Whether the headers show that AWS sent the response. Those of proxies and portals in between do not.
pub(super) fn is_marked_as_aws(headers: &Headers) -> bool {
    let speaks_the_protocol =
        headers.get("content-type").is_some_and(|media_type| media_type.starts_with(JSON_PROTOCOL));
    speaks_the_protocol || AWS_HEADERS.iter().any(|mark| headers.contains_key(*mark))
}

/// A response that AWS did not send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAnswer {
    /// The HTTP status.
    pub status: u16,
    title: Option<String>,
}

impl ForeignAnswer {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        let page = String::from_utf8_lossy(&body[..body.len().min(MAX_SEARCHED)]);
        Self { status, title: title(&page) }
    }
}

/// The title of the page, on one line.
fn title(page: &str) -> Option<String> {
    // Lower-cases ASCII only, so that byte positions are the same in both texts.
    let lower = page.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let words: Vec<&str> = page[start..end].split_whitespace().collect();
    let shown = words.join(" ").chars().filter(|letter| !letter.is_control()).take(MAX_TITLE).collect();
    Some(shown).filter(|title: &String| !title.is_empty())
}

impl fmt::Display for ForeignAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "something other than AWS answered with HTTP {}", self.status)?;
        self.title.as_ref().map_or(Ok(()), |title| write!(f, " and a page titled \"{title}\""))
    }
}

impl Error for ForeignAnswer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_shown_on_one_line_and_cut() {
        for (page, expected) in [
            ("<html><head><title>Access\n  denied</title>", Some("Access denied")),
            ("<TITLE lang=en>Blocked \u{1b}[31mby ACME</TITLE>", Some("Blocked [31mby ACME")),
            ("İ<title>Ünbekannt</title>", Some("Ünbekannt")),
            ("<title></title>", None),
            ("<title>never ends", None),
            ("<title", None),
            ("{\"message\":\"Forbidden\"}", None),
            ("", None),
        ] {
            assert_eq!(title(page).as_deref(), expected, "{page}");
        }
        let long = format!("<title>{}</title>", "x".repeat(5_000));
        assert_eq!(title(&long).map(|title| title.len()), Some(MAX_TITLE));
    }

    #[test]
    fn bytes_of_any_kind_are_read() {
        let answer = ForeignAnswer::new(407, b"\xff\xfe<title>\xffProxy</title>");
        assert_eq!(
            answer.to_string(),
            "something other than AWS answered with HTTP 407 and a page titled \"\u{fffd}Proxy\""
        );
        assert_eq!(
            ForeignAnswer::new(302, b"").to_string(),
            "something other than AWS answered with HTTP 302"
        );
    }
}
