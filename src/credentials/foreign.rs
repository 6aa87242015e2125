//! Answers that are not AWS's: a block page, a captive portal, a proxy that wants a password.
//!
//! They say nothing about tokens or users, whatever their status.

use std::{error::Error, fmt};

/// The longest title that is repeated.
const LONGEST_TITLE: usize = 100;

/// Titles stand at the beginning of a page.
const SEARCHED: usize = 64 * 1024;

/// An answer that is not AWS's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAnswer {
    /// The HTTP status.
    pub status: u16,
    title: Option<String>,
}

impl ForeignAnswer {
    pub(super) fn new(status: u16, body: &[u8]) -> Self {
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
