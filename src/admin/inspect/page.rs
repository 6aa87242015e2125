//! The inspector's page: one HTML file, assembled from the files in `page/`, and the policy that lets a browser run
//! these scripts and nothing else.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use sha2::{Digest, Sha256};

/// The document, with its style and its scripts inside.
pub(super) static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let styled = INDEX.replace(STYLE_LINK, &format!("<style>{STYLE}</style>"));
    SCRIPTS.iter().fold(styled, |document, (name, script)| {
        document.replace(&script_link(name), &format!("<script>{script}</script>"))
    })
});

/// The value of the header `Content-Security-Policy`.
///
/// Nothing loads but this document's own style and scripts, known by their hashes; no text becomes markup or script
/// (Trusted Types without a policy); requests go to the admin listener only.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let scripts: Vec<String> = SCRIPTS.iter().map(|(_, script)| hash(script)).collect();
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        scripts.join(" "),
        hash(STYLE),
    );
    HeaderValue::from_str(&policy).expect("keywords and base64 are valid in a header")
});

const INDEX: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
const STYLE_LINK: &str = r#"<link rel="stylesheet" href="style.css">"#;

/// In any order: `index.html` says where each stands.
const SCRIPTS: [(&str, &str); 12] = [
    ("actions.js", include_str!("page/actions.js")),
    ("api.js", include_str!("page/api.js")),
    ("detail.js", include_str!("page/detail.js")),
    ("difference.js", include_str!("page/difference.js")),
    ("dom.js", include_str!("page/dom.js")),
    ("feed.js", include_str!("page/feed.js")),
    ("filter.js", include_str!("page/filter.js")),
    ("list.js", include_str!("page/list.js")),
    ("main.js", include_str!("page/main.js")),
    ("messages.js", include_str!("page/messages.js")),
    ("sections.js", include_str!("page/sections.js")),
    ("text.js", include_str!("page/text.js")),
];

fn script_link(name: &str) -> String {
    format!(r#"<script src="{name}"></script>"#)
}

/// The source expression that admits an inline element with exactly this content.
fn hash(content: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_holds_each_script_once_and_refers_to_no_file() {
        for (name, script) in SCRIPTS {
            assert_eq!(INDEX.matches(&script_link(name)).count(), 1, "{name} stands once in index.html");
            assert_eq!(DOCUMENT.matches(&format!("<script>{script}</script>")).count(), 1, "{name}");
        }
        assert_eq!(DOCUMENT.matches(&format!("<style>{STYLE}</style>")).count(), 1);
        assert_eq!(DOCUMENT.matches("<script").count(), SCRIPTS.len(), "index.html names no other script");
        for reference in [" src=", "href=\"style"] {
            assert!(!DOCUMENT.contains(reference), "the document still has {reference:?}");
        }
    }

    #[test]
    fn the_policy_admits_the_content_of_each_element_as_a_browser_hashes_it() {
        let policy = POLICY.to_str().expect("the policy is ASCII");
        for (open, close) in [("<script>", "</script>"), ("<style>", "</style>")] {
            for element in DOCUMENT.split(open).skip(1) {
                let content = element.split(close).next().expect("an element has content");
                assert!(policy.contains(&hash(content)), "no hash for {:.60}", content);
            }
        }
        assert!(!DOCUMENT.contains('\r'), "a browser turns CR into LF before it hashes");
    }

    #[test]
    fn no_element_or_attribute_needs_what_the_policy_forbids() {
        assert!(
            !INDEX.contains(" style=") && !INDEX.contains("javascript:"),
            "inline styles and script URLs"
        );
        for (name, script) in SCRIPTS {
            for sink in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "srcdoc",
            ] {
                assert!(!script.contains(sink), "{name} uses {sink}");
            }
        }
    }
}
