use super::*;

fn body(text: &str) -> String {
    Redaction::default().text(text.to_owned(), Place::Body, &KnownSecrets::default())
}

#[test]
fn values_behind_secret_names_are_replaced_in_every_format() {
    for (text, expected) in [
        (r#"{"user":"a","password":"hunter2","n":1}"#, r#"{"user":"a","password":"[redacted]","n":1}"#),
        (r#"{"password" : "hun\"ter2", "b":"c"}"#, r#"{"password" : "[redacted]", "b":"c"}"#),
        (r#"{"pin":1234,"x":2}"#, r#"{"pin":[redacted],"x":2}"#),
        (r#"{"tokens":["hunter2",{"a":"]"}],"x":2}"#, r#"{"tokens":"[redacted]","x":2}"#),
        (r#"{"Credentials":{"SecretKey":"hunter2"},"x":2}"#, r#"{"Credentials":"[redacted]","x":2}"#),
        (
            r#"{"body":"{\"password\":\"hunter2\",\"b\":1}"}"#,
            r#"{"body":"{\"password\":\"[redacted]\",\"b\":1}"}"#,
        ),
        (r#"{"p\u0061ssword":"hunter2"}"#, r#"{"p\u0061ssword":"[redacted]"}"#),
        (r#"{"name":"x-api-key","value":"hunter2"}"#, r#"{"name":"x-api-key","value":"[redacted]"}"#),
        (r#"<input name="csrf_token" value="hunter2">"#, r#"<input name="csrf_token" value="[redacted]">"#),
        ("user=a&password=hunter2&b=c", "user=a&password=[redacted]&b=c"),
        ("user=a&pass%77ord=hunter2", "user=a&pass%77ord=[redacted]"),
        ("next=%2Fa%3Ftoken%3Dhunter2%26b%3Dc", "next=%2Fa%3Ftoken%3D[redacted]%26b%3Dc"),
        ("<a><Password>hunter2</Password><b>c</b></a>", "<a><Password>[redacted]</Password><b>c</b></a>"),
        (
            "<s:SecretAccessKey x=\"y\">hunter2</s:SecretAccessKey>",
            "<s:SecretAccessKey x=\"y\">[redacted]</s:SecretAccessKey>",
        ),
        ("password: hunter2\nuser: a", "password: [redacted]\nuser: a"),
        ("'password' => 'hunter2', 'b'", "'password' => '[redacted]', 'b'"),
        (r#"{"password":"hunter2 and the text is cut"#, r#"{"password":"[redacted]"#),
    ] {
        assert_eq!(body(text), expected);
    }
}

#[test]
fn what_is_no_secret_stays_byte_for_byte() {
    for text in [
        r#"{"code":"ok","nextToken":"abc","password":null,"token":"","secure":true}"#,
        "https://example.com/a?b=c",
        "a = b, c: d, <e>f</e>",
        "{\"text\":\"\u{202e}äöü\"}",
    ] {
        assert_eq!(body(text), text);
    }
}

#[test]
fn secrets_are_known_by_their_shape() {
    for (text, expected) in [
        ("x eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0. y", "x [redacted] y"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key [redacted]."),
        ("see https://user:hunter2@example.com/", "see https://[redacted]@example.com/"),
        ("Bearer 0123456789abcdef0123", "Bearer [redacted]"),
        ("mail a@example.com", "mail a@example.com"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY[redacted]-----END RSA PRIVATE KEY-----",
        ),
    ] {
        assert_eq!(body(text), expected);
    }
}

#[test]
fn a_known_secret_is_found_in_every_spelling_and_where_the_text_was_cut() {
    let mut known = KnownSecrets::default();
    known.add("a/secret+value==");
    let text = "a/secret+value== a\\/secret+value== a%2Fsecret%2Bvalue%3D%3D";
    let redacted = Redaction::default().text(text.to_owned(), Place::Body, &known);
    assert!(!redacted.contains("secret"), "{redacted}");
    let mut cut = "it was a/secret+va".to_owned();
    known.remove_cut(&mut cut);
    assert_eq!(cut, "it was [redacted]");
}

#[test]
fn headers_keep_the_names_of_cookies_and_nothing_of_their_values() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "user:hunter2@localhost"),
        ("authorization", "Basic dXNlcjpodW50ZXIy"),
        ("cookie", "a=hunter2; b=hunter3"),
        ("set-cookie", "c=hunter4; Path=/; HttpOnly"),
        ("x-ours", "hunter5"),
        ("x-named", "hunter6"),
        ("referer", "http://a/?access_token=hunter7&b=c"),
        ("accept", "*/*"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let set = [(HeaderName::from_static("x-ours"), HeaderValue::from_static("hunter5"))];
    let mut known = KnownSecrets::default();
    let lines = Redaction::new(&["X-Named".to_owned()]).headers(&headers, &set, &mut known);
    assert!(!lines.contains("hunter"), "{lines}");
    for line in [
        "host: localhost\n",
        "authorization: [redacted]\n",
        "cookie: a=[redacted]; b=[redacted]\n",
        "set-cookie: c=[redacted]; Path=/; HttpOnly\n",
        "referer: http://a/?access_token=[redacted]&b=c\n",
        "accept: */*\n",
    ] {
        assert!(lines.contains(line), "{line} is not in {lines}");
    }
    let echoed = Redaction::default().text("hunter2 hunter5".to_owned(), Place::Body, &known);
    assert_eq!(echoed, "[redacted] [redacted]");
}
