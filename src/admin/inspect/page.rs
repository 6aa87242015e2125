//! The inspector's page: one HTML file, assembled from the files in `page/`, and the policy that lets a browser run
//! this script and nothing else.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use sha2::{Digest, Sha256};

/// The document, with its style and its script inside.
pub(super) static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let styled = INDEX.replace(STYLE_LINK, &format!("<style>{STYLE}</style>"));
    styled.replace(SCRIPT_LINK, &format!("<script>{SCRIPT}</script>"))
});

/// The value of the header `Content-Security-Policy`.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE),
    );
    HeaderValue::from_str(&policy).expect("keywords and base64 are valid in a header")
});

const INDEX: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
const STYLE_LINK: &str = r#"<link rel="stylesheet" href="style.css">"#;
const SCRIPT: &str = include_str!("page/app.js");
const SCRIPT_LINK: &str = r#"<script src="app.js"></script>"#;

/// The source expression that admits an inline element with exactly this content.
fn hash(content: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content)))
}
