//! Answers that are not AWS's: a block page, a captive portal, a proxy that wants a password.
//!
//! They say nothing about tokens or users, whatever their status.

use std::{error::Error, fmt};

use aws_smithy_runtime_api::http::Headers;

/// The longest title that is repeated.
const LONGEST_TITLE: usize = 100;

/// Titles stand at the beginning of a page.
const SEARCHED: usize = 64 * 1024;

/// Headers that every answer of a service of AWS has one of: Cognito and STS, Cognito's managed login, S3's family, and
/// errors of the JSON protocol.
const MARKS: [&str; 4] =
    ["x-amzn-requestid", "x-amz-cognito-request-id", "x-amz-request-id", "x-amzn-errortype"];

/// The media type of Cognito's protocol in all its versions, which emulators without request ids send as well.
const JSON_PROTOCOL: &str = "application/x-amz-json-";

/// Whether the headers alone show that AWS answered. Pages of whatever stands on the way have none of these marks.
pub(super) fn is_marked_as_aws(headers: &Headers) -> bool {
    let speaks_the_protocol =
        headers.get("content-type").is_some_and(|media_type| media_type.starts_with(JSON_PROTOCOL));
    speaks_the_protocol || MARKS.iter().any(|mark| headers.contains_key(*mark))
}

/// An answer that is not AWS's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAnswer {
    /// The HTTP status.
    pub status: u16,
    title: Option<String>,
}

impl ForeignAnswer {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        let page = String::from_utf8_lossy(&body[..body.len().min(SEARCHED)]);
        Self { status, title: title(&page) }
    }
}

/// The page's title on one line.
fn title(page: &str) -> Option<String> {
    // ASCII, so that positions are the same in both.
    let lower = page.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let words: Vec<&str> = page[start..end].split_whitespace().collect();
    let shown = words.join(" ").chars().filter(|letter| !letter.is_control()).take(LONGEST_TITLE).collect();
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
        assert_eq!(title(&long).map(|title| title.len()), Some(LONGEST_TITLE));
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
