//! The pages as HTML: forms with labels, no scripts, and nothing from elsewhere.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::sandbox::{
    answer::{Body, plain},
    digest::sha256,
};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:3rem auto;padding:0 1rem}\
     label,input,select,button{display:block;width:100%;box-sizing:border-box;font:inherit}\
     input,select,button{padding:.5rem;margin:.25rem 0 1rem}\
     [role=alert]{color:#a40000}:focus-visible{outline:3px solid #06c}";

/// No `form-action`: browsers would apply it to the redirect that leads back to the client.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(sha256(&[STYLE.as_bytes()]));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).expect("base64 is ASCII")
});

/// One page with at most one form.
#[derive(Default)]
pub(super) struct Page {
    pub(super) title: &'static str,
    pub(super) notice: String,
    pub(super) problem: String,
    /// The path of the form with its query; empty for a page without a form.
    pub(super) action: String,
    pub(super) fields: Vec<Field>,
    pub(super) button: &'static str,
    /// Other pages: path with query, and text.
    pub(super) links: Vec<(String, &'static str)>,
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) kind: Kind,
    pub(super) value: String,
}

pub(super) enum Kind {
    Text { autocomplete: &'static str },
    Password { autocomplete: &'static str },
    Code,
    Choice(Vec<String>),
    Hidden,
}

impl Field {
    pub(super) fn new(name: &str, label: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), label: label.to_owned(), kind, value: String::new() }
    }

    pub(super) fn username(value: &str) -> Self {
        let kind = Kind::Text { autocomplete: "username" };
        Self { value: value.to_owned(), ..Self::new("username", "Username", kind) }
    }

    pub(super) fn password() -> Self {
        Self::new("password", "Password", Kind::Password { autocomplete: "current-password" })
    }

    pub(super) fn new_password() -> Self {
        Self::new("password", "New password", Kind::Password { autocomplete: "new-password" })
    }

    pub(super) fn code() -> Self {
        Self::new("code", "Code", Kind::Code)
    }

    pub(super) fn hidden(name: &str, value: &str) -> Self {
        Self { value: value.to_owned(), ..Self::new(name, "", Kind::Hidden) }
    }

    fn write(&self, html: &mut String) {
        let (name, label, value) = (escaped(&self.name), escaped(&self.label), escaped(&self.value));
        let input = |attributes: &str| {
            format!(
                "<label for=\"{name}\">{label}</label>\
                 <input id=\"{name}\" name=\"{name}\" value=\"{value}\" required {attributes}>"
            )
        };
        html.push_str(&match &self.kind {
            Kind::Text { autocomplete } => input(&format!("autocomplete=\"{autocomplete}\"")),
            Kind::Password { autocomplete } => {
                input(&format!("type=\"password\" autocomplete=\"{autocomplete}\""))
            }
            Kind::Code => input("inputmode=\"numeric\" autocomplete=\"one-time-code\""),
            Kind::Hidden => format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"),
            Kind::Choice(options) => {
                let options = options.iter().map(|option| format!("<option>{}</option>", escaped(option)));
                format!(
                    "<label for=\"{name}\">{label}</label><select id=\"{name}\" name=\"{name}\">{}</select>",
                    options.collect::<String>()
                )
            }
        });
    }
}

impl Page {
    /// The page, as a failed attempt where it shows a problem.
    pub(super) fn response(&self) -> Response<Body> {
        let failed = !self.problem.is_empty();
        html(if failed { StatusCode::BAD_REQUEST } else { StatusCode::OK }, &self.html())
    }

    fn html(&self) -> String {
        let title = self.title;
        let mut html = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title} - sandbox</title><style>{STYLE}</style><main><h1>{title}</h1>"
        );
        for (role, text) in [("status", &self.notice), ("alert", &self.problem)] {
            if !text.is_empty() {
                html.push_str(&format!("<p role=\"{role}\">{}</p>", escaped(text)));
            }
        }
        if !self.action.is_empty() {
            html.push_str(&format!("<form method=\"post\" action=\"{}\">", escaped(&self.action)));
            for field in &self.fields {
                field.write(&mut html);
            }
            html.push_str(&format!("<button>{}</button></form>", self.button));
        }
        for (path, text) in &self.links {
            html.push_str(&format!("<p><a href=\"{}\">{text}</a></p>", escaped(path)));
        }
        html.push_str("</main></html>\n");
        html
    }
}

/// The page of an error that must not be sent to a redirect URI.
pub(super) fn error_page(error: &str, message: &str) -> Response<Body> {
    let page =
        Page { title: "An error was encountered", problem: format!("{error}: {message}"), ..Page::default() };
    page.response()
}

/// The page of a request that names a URI that the app client does not list.
pub(super) fn unlisted(parameter: &str, uri: &str) -> Response<Body> {
    let message = if uri.is_empty() {
        format!("The request has no {parameter}.")
    } else {
        format!(
            "The app client does not list the {parameter} {uri}. Start the sandbox with --callback-url {uri} to add it."
        )
    };
    error_page("redirect_mismatch", &message)
}

pub(super) fn redirection(status: StatusCode, location: &str) -> Response<Body> {
    match HeaderValue::try_from(location) {
        Ok(location) => {
            let mut response = html(status, "");
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        Err(_) => error_page("redirect_mismatch", "The URI cannot stand in a header."),
    }
}

fn html(status: StatusCode, text: &str) -> Response<Body> {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut response = plain(status, "text/html; charset=utf-8", text.to_owned());
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    response
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}
