//! A recorded request as something to paste: a curl line, a `countersign call`, a `fetch`. All go to the proxy, and none
//! has a secret in it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::replay::RecordedRequest;

/// How clients reach the proxy.
#[derive(Clone, Debug)]
pub struct Client {
    /// The URL, without a slash at its end.
    pub url: String,
    /// The path of the socket, if that is where the proxy listens.
    pub socket: Option<String>,
    /// Whether clients must present a token.
    pub needs_token: bool,
}

/// Headers that the client itself sets for each request.
const SET_BY_CLIENTS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Headers that `fetch` does not let a page set, besides those that begin with `sec-` or `proxy-`.
const FORBIDDEN_IN_PAGES: [&str; 8] =
    ["accept-charset", "accept-encoding", "cookie", "date", "dnt", "origin", "referer", "via"];

impl RecordedRequest {
    /// The request as a curl line, a `countersign call` and a `fetch`.
    #[must_use]
    pub fn command_lines(&self, client: &Client) -> [(&'static str, String); 3] {
        [("curl", self.curl(client)), ("call", self.call()), ("fetch", self.fetch(client))]
    }

    fn target(&self) -> String {
        let query = self.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.path)
    }

    /// The headers that can be sent again.
    fn sendable(&self) -> impl Iterator<Item = &(String, String)> {
        self.headers
            .iter()
            .filter(|(name, _)| !SET_BY_CLIENTS.contains(&name.as_str()))
            // Bytes that are no UTF-8 are not kept.
            .filter(|(_, value)| !Self::is_redacted(value) && !value.contains(char::REPLACEMENT_CHARACTER))
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    fn curl(&self, client: &Client) -> String {
        let mut line = "curl".to_owned();
        let body = self.body.as_deref().filter(|body| !body.is_empty());
        let has_body = self.body.as_deref() != Some("");
        match self.method.as_str() {
            "GET" if !has_body => {}
            "POST" if has_body => {}
            "HEAD" => line.push_str(" --head"),
            method => append(&mut line, " -X ", method),
        }
        let mut target = self.target();
        // curl takes only what follows the host for the target, and `*` follows none.
        if !target.starts_with('/') {
            append(&mut line, " --request-target ", &target);
            target = "/".to_owned();
        }
        if target.contains("/.") {
            line.push_str(" --path-as-is");
        }
        if target.contains(['[', ']', '{', '}']) {
            line.push_str(" --globoff");
        }
        if let Some(socket) = &client.socket {
            append(&mut line, " --unix-socket ", socket);
        }
        append(&mut line, " ", &format!("{}{target}", client.url));
        if client.needs_token {
            line.push_str(" -H 'authorization: Bearer TOKEN'");
        }
        for (name, value) in
            self.sendable().filter(|(name, _)| !client.needs_token || name != "authorization")
        {
            let header = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
            append(&mut line, " -H ", &header);
        }
        if has_body && !self.has("content-type") {
            // Otherwise curl says that it is a form.
            line.push_str(" -H 'content-type:'");
        }
        match body {
            Some(body) => append(&mut line, " --data-raw ", body),
            None if has_body => line.push_str(" --data-binary @body"),
            None => {}
        }
        line
    }

    fn call(&self) -> String {
        let mut line = "countersign call".to_owned();
        append(&mut line, " ", &self.method);
        append(&mut line, " ", &self.target());
        for (name, value) in self.sendable() {
            append(&mut line, " -H ", &format!("{name}: {value}"));
        }
        match self.body.as_deref() {
            Some("") => {}
            // A body that begins like this would be the name of a file.
            Some(body) if body.starts_with('@') => {
                let mut piped = "printf %s".to_owned();
                append(&mut piped, " ", body);
                return format!("{piped} | {line} -d @-");
            }
            Some(body) => append(&mut line, " -d ", body),
            None => line.push_str(" -d @body"),
        }
        line
    }

    fn fetch(&self, client: &Client) -> String {
        let settable = |name: &str| {
            !FORBIDDEN_IN_PAGES.contains(&name) && !name.starts_with("sec-") && !name.starts_with("proxy-")
        };
        let mut headers: Vec<Value> = self
            .sendable()
            .filter(|(name, _)| settable(name) && !(client.needs_token && name == "authorization"))
            .map(|(name, value)| json!([name, value]))
            .collect();
        if client.needs_token {
            headers.push(json!(["authorization", "Bearer TOKEN"]));
        }
        let mut options = vec![format!("method: {}", json!(self.method))];
        if !headers.is_empty() {
            options.push(format!("headers: {}", Value::Array(headers)));
        }
        match self.body.as_deref() {
            Some("") => {}
            Some(body) => options.push(format!("body: {}", json!(body))),
            None => options.push("body: BODY".to_owned()),
        }
        // A page cannot ask for `*`.
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        let url = json!(format!("{}{slash}{}", client.url, self.target()));
        let line = format!("await fetch({url}, {{\n  {}\n}})", options.join(",\n  "));
        // They stand in strings only, where JavaScript reads the escape as the character.
        line.chars().fold(String::with_capacity(line.len()), |mut line, letter| {
            if is_unprintable(letter) {
                write!(line, "\\u{:04x}", u32::from(letter)).expect("a String takes everything");
            } else {
                line.push(letter);
            }
            line
        })
    }
}

fn append(line: &mut String, before: &str, word: &str) {
    line.push_str(before);
    line.push_str(&quoted(word));
}

/// One word for a shell, whatever is in it.
///
/// Between single quotes nothing has a meaning. Characters that a terminal obeys, or that reverse the direction of
/// text, are written as escapes, which bash, zsh and ksh read between `$'` and `'`.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) && !word.starts_with(['-', '=']) {
        return word.to_owned();
    }
    if !word.chars().any(is_unprintable) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut text = "$'".to_owned();
    for letter in word.chars() {
        match letter {
            '\'' => text.push_str(r"\'"),
            '\\' => text.push_str(r"\\"),
            '\n' => text.push_str(r"\n"),
            letter if is_unprintable(letter) => {
                let mut buffer = [0; 4];
                for byte in letter.encode_utf8(&mut buffer).bytes() {
                    write!(text, "\\{byte:03o}").expect("a String takes everything");
                }
            }
            letter => text.push(letter),
        }
    }
    text.push('\'');
    text
}

/// Whether a terminal obeys a character instead of showing it, or shows the text around it in another order.
#[must_use]
pub fn is_unprintable(letter: char) -> bool {
    letter != '\n' && letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_gives_every_word_back_as_it_was() {
        for word in [
            "",
            "plain",
            "-x",
            "a b",
            "it's",
            "$HOME `id` $(id)",
            "a\nb",
            "!!",
            "\\",
            "a\\'b",
            "\u{1b}[31m\r\t",
            "\u{202e}äöü",
            "=ls",
            "~",
            "{a,b}",
            "*",
            "#x",
            "\u{7f}'\\n",
            "\u{1}7",
        ] {
            let script = format!("printf %s {}", quoted(word));
            let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
            assert_eq!(String::from_utf8_lossy(&output.stdout), word, "{script}");
        }
    }

    fn request(method: &str, body: Option<&str>) -> RecordedRequest {
        let headers =
            [("host", "x"), ("content-type", "text/plain"), ("authorization", "[redacted]"), ("x-empty", "")];
        RecordedRequest {
            method: method.to_owned(),
            path: "/a/../b".to_owned(),
            query: Some("c=[1]".to_owned()),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: body.map(str::to_owned),
        }
    }

    #[test]
    fn each_line_sends_the_same_request_to_the_proxy() {
        let client = Client { url: "http://localhost:8181".to_owned(), socket: None, needs_token: true };
        let [(_, curl), (_, call), (_, fetch)] = request("POST", Some("@it's")).command_lines(&client);
        assert_eq!(
            curl,
            "curl --path-as-is --globoff 'http://localhost:8181/a/../b?c=[1]' -H 'authorization: Bearer TOKEN' \
             -H 'content-type: text/plain' -H 'x-empty;' --data-raw '@it'\\''s'"
        );
        assert_eq!(
            call,
            "printf %s '@it'\\''s' | countersign call POST '/a/../b?c=[1]' -H 'content-type: text/plain' -H 'x-empty: ' \
             -d @-"
        );
        assert_eq!(
            fetch,
            "await fetch(\"http://localhost:8181/a/../b?c=[1]\", {\n  method: \"POST\",\n  headers: \
             [[\"content-type\",\"text/plain\"],[\"x-empty\",\"\"],[\"authorization\",\"Bearer TOKEN\"]],\n  body: \
             \"@it's\"\n})"
        );
    }

    #[test]
    fn a_body_that_was_not_kept_is_a_file_of_the_users() {
        let client = Client {
            url: "http://localhost".to_owned(),
            socket: Some("/run/x y".to_owned()),
            needs_token: false,
        };
        let [(_, curl), (_, call), _] = request("PUT", None).command_lines(&client);
        assert!(curl.starts_with("curl -X PUT --path-as-is --globoff --unix-socket '/run/x y' "), "{curl}");
        assert!(curl.ends_with(" --data-binary @body") && call.ends_with(" -d @body"), "{curl} {call}");
        let [(_, curl), ..] = request("GET", Some("")).command_lines(&client);
        assert!(!curl.contains("data") && !curl.contains("-X"), "{curl}");
    }

    #[test]
    fn a_target_that_is_no_path_is_given_to_curl_apart() {
        let client = Client { url: "http://localhost".to_owned(), socket: None, needs_token: false };
        let request = RecordedRequest {
            path: "*".to_owned(),
            query: None,
            headers: Vec::new(),
            ..request("OPTIONS", Some(""))
        };
        let [(_, curl), (_, call), (_, fetch)] = request.command_lines(&client);
        assert_eq!(curl, "curl -X OPTIONS --request-target '*' http://localhost/");
        assert_eq!(call, "countersign call OPTIONS '*'");
        assert!(fetch.starts_with("await fetch(\"http://localhost/*\""), "{fetch}");
    }

    #[test]
    fn nothing_in_a_fetch_reverses_it_and_no_replaced_byte_is_sent() {
        let client = Client { url: "http://localhost".to_owned(), socket: None, needs_token: false };
        let mut request = request("POST", Some("a\u{202e}b\u{9b}"));
        request.headers.push(("x-latin".to_owned(), "caf\u{fffd}".to_owned()));
        let [(_, curl), (_, call), (_, fetch)] = request.command_lines(&client);
        assert!(fetch.contains(r#"body: "a\u202eb\u009b""#), "{fetch}");
        for line in [curl, call, fetch] {
            assert!(!line.contains("x-latin"), "{line}");
        }
    }
}
