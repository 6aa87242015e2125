//! The requests of the official signing test suite, through a whole proxy to an API that verifies.

#![cfg(feature = "sandbox")]

mod support;

use std::{fs, path::Path};

use countersign::sandbox::Verdict;
use support::{Running, Setup};

/// A request of the suite, as it stands there.
struct Vector {
    name: String,
    method: String,
    target: String,
    fields: Vec<String>,
    body: String,
}

impl Vector {
    fn read(case: &Path) -> Self {
        let text = fs::read_to_string(case.join("request.txt")).expect("a complete suite");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
        let (method, rest) = line.split_once(' ').expect("a method");
        Self {
            name: case.file_name().expect("a name").to_string_lossy().into_owned(),
            method: method.to_owned(),
            target: rest.strip_suffix(" HTTP/1.1").expect("a version").to_owned(),
            fields: fields.lines().map(str::to_owned).collect(),
            body: body.to_owned(),
        }
    }

    /// Whether HTTP/1.1 has room for it: no bytes in the target that RFC 9112 section 3 excludes, no line
    /// folding, which section 5.2 lets a server refuse.
    fn is_http(&self) -> bool {
        self.target.bytes().all(|byte| byte.is_ascii_graphic())
            && !self.fields.iter().any(|field| field.starts_with([' ', '\t']))
    }

    /// The same request in a form that HTTP/1.1 has room for.
    fn as_http(&self) -> Self {
        let target = self.target.bytes().map(|byte| match byte {
            byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        });
        let unfolded = self.fields.join("\n").replace("\n ", " ");
        Self {
            name: self.name.clone(),
            method: self.method.clone(),
            target: target.collect(),
            fields: unfolded.lines().map(str::to_owned).collect(),
            body: self.body.clone(),
        }
    }

    fn wire(&self) -> String {
        let mut wire = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for field in &self.fields {
            wire.push_str(field);
            wire.push_str("\r\n");
        }
        let declared =
            self.fields.iter().any(|field| field.to_ascii_lowercase().starts_with("content-length"));
        if !declared && !self.body.is_empty() {
            wire.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        wire + "\r\n" + &self.body
    }
}

#[tokio::test]
async fn the_official_requests_are_verified_behind_the_proxy() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/aws-signing-test-suite-v4");
    let Ok(folder) = fs::read_dir(&suite) else {
        println!("official vectors not sent: aws-signing-test-suite-v4 is not beside the project");
        return;
    };
    let running = Setup::new()
        .proxy(|settings| {
            settings.proxy.guard.allowed_hosts.push("example.amazonaws.com".to_owned());
        })
        .start()
        .await;
    let (mut sent, mut rewritten) = (0, 0);
    for case in folder {
        let vector = Vector::read(&case.expect("readable").path());
        if vector.is_http() {
            arrives(&running, &vector).await;
        } else {
            let status = send(&running, &vector).await;
            assert!(matches!(status, 200 | 400), "{}: {status}", vector.name);
            arrives(&running, &vector.as_http()).await;
            rewritten += 1;
        }
        sent += 1;
    }
    println!(
        "{sent} official vectors sent and verified, {rewritten} of them in the form that HTTP/1.1 has for them"
    );
    assert!(sent > 30, "the suite has 38 cases");
}

async fn send(running: &Running, vector: &Vector) -> u16 {
    let mut client = running.proxy.connect().await;
    client.write(vector.wire()).await;
    client.answer().await.0.status
}

async fn arrives(running: &Running, vector: &Vector) {
    running.sandbox.clear_requests();
    let status = send(running, vector).await;
    let name = &vector.name;
    assert_eq!(status, 200, "{name}");
    let received = running.sandbox.requests().pop().expect(name);
    assert!(matches!(received.verdict, Verdict::Verified { .. }), "{name}: {:?}", received.verdict);
    assert_eq!(received.method, vector.method, "{name}");
    assert_eq!(received.target, format!("/prod{}", vector.target), "{name}");
    assert_eq!(received.body, vector.body, "{name}");
    for field in &vector.fields {
        let (field, value) = field.split_once(':').expect("a field");
        let arrived = received.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(field));
        let managed = ["host", "x-amz-date", "x-amz-security-token"];
        if !managed.contains(&field.to_ascii_lowercase().as_str()) {
            let mut values = arrived.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            assert!(values.any(|arrived| arrived == value.trim()), "{name}: {field}");
        }
    }
}
