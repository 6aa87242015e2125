use http::{HeaderMap, HeaderValue};

use super::*;

fn body(text: &str) -> String {
    Redaction::default().text(text.to_owned(), Place::Body, &mut KnownSecrets::default())
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
        ("password: |\n  hunter2\n\n  hunter3\nuser: a", "password: [redacted]\nuser: a"),
        (
            "a:\n  - password: >-\n      hunter2\n    user: b\n",
            "a:\n  - password: >[redacted]\n    user: b\n",
        ),
        ("tokens:\n- hunter2\n- hunter3\nuser: a", "tokens:\n[redacted]\nuser: a"),
        ("'password' => 'hunter2', 'b'", "'password' => '[redacted]', 'b'"),
        (r#"{"password":"hunter2 and the text is cut"#, r#"{"password":"[redacted]"#),
        ("{\"password\"\n:\n\"hunter2\"}", "{\"password\"\n:\n\"[redacted]\"}"),
        (r#"{"pass word":"hunter2"}"#, r#"{"pass word":"[redacted]"}"#),
        (r#"{"Passwort":"hunter2"}"#, r#"{"Passwort":"[redacted]"}"#),
        (r#"{"contraseña":"hunter2"}"#, r#"{"contraseña":"[redacted]"}"#),
        (
            r#"{"body":"{\"p\\u0061ssword\":\"hunter2\"}"}"#,
            r#"{"body":"{\"p\\u0061ssword\":\"[redacted]\"}"}"#,
        ),
        (
            r#"{"token2":"hunter2","apiKeys":["hunter2"]}"#,
            r#"{"token2":"[redacted]","apiKeys":"[redacted]"}"#,
        ),
        (r#"{"value":"hunter2","name":"x-api-key"}"#, r#"{"value":"[redacted]","name":"x-api-key"}"#),
        (
            r#"{"grant_type":"authorization_code","code":"hunter2"}"#,
            r#"{"grant_type":"authorization_code","code":"[redacted]"}"#,
        ),
        ("a=b&password=hun,ter2;x&c=d", "a=b&password=[redacted]&c=d"),
        ("a=b&password=hun\"ter2&c=d", "a=b&password=[redacted]&c=d"),
        ("pass+word=hunter2", "pass+word=[redacted]"),
        ("password=hunter2, user=a", "password=[redacted], user=a"),
        ("password=hunter2,user=a", "password=[redacted],user=a"),
        ("u: a\npassword: hun, ter2\n", "u: a\npassword: [redacted]\n"),
        (
            "u=%252Fa%2523access_token%253Dhun%252Cter2%2526b",
            "u=%252Fa%2523access_token%253D[redacted]%2526b",
        ),
        (
            "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhunter2\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n[redacted]\r\n--b--",
        ),
        ("<Password><![CDATA[</Password>hunter2]]></Password>", "<Password>[redacted]</Password>"),
        (
            r#"[{"name":"user","value":"a"},{"name":"password","type":"x","value":"hunter2"}]"#,
            r#"[{"name":"user","value":"a"},{"name":"password","type":"x","value":"[redacted]"}]"#,
        ),
        (
            r#"[{"value":"a","key":"b"},{"value":"hunter2","type":"x","secure":1,"key":"password"}]"#,
            r#"[{"value":"a","key":"b"},{"value":"[redacted]","type":"x","secure":1,"key":"password"}]"#,
        ),
        (
            r#"{"ParameterKey":"DBPassword","ParameterValue":"hunter2"}"#,
            r#"{"ParameterKey":"DBPassword","ParameterValue":"[redacted]"}"#,
        ),
        (
            "<Tag><Key>a</Key><Value>b</Value></Tag><Tag><Key>password</Key><Value>hunter2</Value></Tag>",
            "<Tag><Key>a</Key><Value>b</Value></Tag><Tag><Key>password</Key><Value>[redacted]</Value></Tag>",
        ),
        (
            "<e><value>a</value><name>b</name></e><e><value>hunter2</value><name>api_key</name></e>",
            "<e><value>a</value><name>b</name></e><e><value>[redacted]</value><name>api_key</name></e>",
        ),
        (
            "<entry name=\"password\">hunter2</entry><entry name=\"a\">b</entry>",
            "<entry name=\"password\">[redacted]</entry><entry name=\"a\">b</entry>",
        ),
        ("user,password\nada,hunter2\ngrace,hunter3\n", "user,password\nada,[redacted]\ngrace,[redacted]\n"),
        ("it is hunter2: password=hunter2&b=c", "it is [redacted]: password=[redacted]&b=c"),
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
        r#"{"max_tokens":1024,"usage":{"inputTokens":7}}"#,
        "a=b,c;d'e\"f",
        "<input name=\"csrf_token\">\n\nTwo lines below.",
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
        ("see https://user:hun@ter2@example.com/@x", "see https://[redacted]@example.com/@x"),
        ("Basic dXNlcjpodW50ZXIy", "Basic [redacted]"),
        ("Basic understanding", "Basic understanding"),
        ("z=eyJhbGciOiJub25lIn0%2EeyJzdWIiOiJhIn0%2Ehunter2&b", "z=[redacted]&b"),
        ("mail a@example.com", "mail a@example.com"),
        ("the key ghp_0123456789abcdefghij is mine", "the key [redacted] is mine"),
        ("task-0123456789abcdefghij", "task-0123456789abcdefghij"),
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
    let redacted = Redaction::default().text(text.to_owned(), Place::Body, &mut known);
    assert_eq!(redacted, "[redacted] [redacted] [redacted]");
    assert!(!redacted.contains("secret"), "{redacted}");
    for spelling in [
        "a/secret+value==",
        "a\\/secret\\u002bvalue\\u003D\\u003d",
        "a\\\\/secret+value==",
        "a%2fsecret%2bvalue%3d%3d",
        "a%252Fsecret%252Bvalue%253D%253D",
        "a&#x2F;secret&#43;value==",
        "a/secret%2Bvalue==",
        "a/secret+val",
        "a/secret%2Bval",
        "a/secret\\u00",
    ] {
        let redacted = Redaction::default().text(format!("it was {spelling}"), Place::Body, &mut known);
        assert_eq!(redacted, "it was [redacted]", "{spelling}");
    }
    let mut cut = "it was a/secret+va".to_owned();
    known.remove_cut(&mut cut);
    assert_eq!(cut, "it was [redacted]");
}

#[test]
fn what_begins_like_a_secret_is_not_at_the_end_of_a_text_that_was_cut() {
    for (text, expected) in [
        ("the key ghp_0123", "the key [redacted]"),
        ("/a/sk_live_0", "/a/[redacted]"),
        ("id=\"AKIA012", "id=\"[redacted]"),
        ("see https://user:hunter2", "see https://[redacted]"),
        ("see https://example.com:8443", "see https://example.com:8443"),
        ("see http://[::1", "see http://[::1"),
        ("task-0123", "task-0123"),
        ("a: b", "a: b"),
    ] {
        let cut = Redaction::default().cut_text(text.to_owned(), &mut KnownSecrets::default());
        assert_eq!(cut, expected);
    }
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
        ("x-one", "bearer hunter8"),
        ("x-two", "DPoP hunter9"),
        ("x-three", "xoxb-0123456789-hunter10"),
        ("x-four", "Basic"),
        ("x-five", "Token 0hunter1"),
        ("x-six", "Token expired"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let set = [HeaderName::from_static("x-ours")];
    let mut known = KnownSecrets::default();
    let lines =
        Redaction::new(&["X-Named".to_owned()]).headers(&Raw::headers(&headers, None), &set, &mut known);
    assert!(!lines.contains("hunter"), "{lines}");
    for line in [
        "host: localhost\n",
        "authorization: [redacted]\n",
        "cookie: a=[redacted]; b=[redacted]\n",
        "set-cookie: c=[redacted]; Path=/; HttpOnly\n",
        "referer: http://a/?access_token=[redacted]&b=c\n",
        "accept: */*\n",
        "x-one: bearer [redacted]\n",
        "x-two: DPoP [redacted]\n",
        "x-three: [redacted]\n",
        "x-four: Basic\n",
        "x-five: Token [redacted]\n",
        "x-six: Token expired\n",
    ] {
        assert!(lines.contains(line), "{line} is not in {lines}");
    }
    let echoed = Redaction::default().text("hunter2 hunter5".to_owned(), Place::Body, &mut known);
    assert_eq!(echoed, "[redacted] [redacted]");
}

#[test]
fn of_thousands_of_cookies_all_are_taken_away_and_some_are_known() {
    let cookies: Vec<_> = (0..3_000).map(|number| format!("c=hunter{number}")).collect();
    let mut headers = HeaderMap::new();
    headers.insert("cookie", HeaderValue::from_str(&cookies.join("; ")).expect("a value"));
    let mut known = KnownSecrets::default();
    let lines = Redaction::default().headers(&Raw::headers(&headers, None), &[], &mut known);
    assert!(!lines.contains("hunter"), "{lines}");
    assert!(known.has("hunter255") && !known.has("hunter256"));
}

#[test]
fn a_segment_of_a_path_behind_a_secret_name_is_replaced_when_it_is_no_word() {
    let url =
        |text: &str| Redaction::default().text(text.to_owned(), Place::Url, &mut KnownSecrets::default());
    for (path, expected) in [
        ("/reset-password/4hunter2x/done", "/reset-password/%5Bredacted%5D/done"),
        ("/x/token:hunter2/y", "/x/token:%5Bredacted%5D/y"),
        ("/x;token=a,hunter2/y", "/x;token=%5Bredacted%5D/y"),
        ("/x?password=a,b;c'd", "/x?password=%5Bredacted%5D"),
        ("token=a/b+c/d&e=f", "token=%5Bredacted%5D&e=f"),
        ("/oauth/token/refresh", "/oauth/token/refresh"),
        ("/tokens/12", "/tokens/12"),
    ] {
        assert_eq!(url(path), expected);
    }
}

#[test]
fn the_canonical_request_has_no_header_that_is_not_kept() {
    let set = [HeaderName::from_static("x-amz-meta-partner")];
    let text = "GET\n/\n\nhost:x\nx-amz-meta-auth:1234\nx-amz-meta-partner:a b\n\nhost\nhash";
    let redacted = Redaction::default().canonical(
        &Raw::of(text.as_bytes()),
        ["/", ""],
        &set,
        &mut KnownSecrets::default(),
    );
    assert_eq!(
        redacted,
        "GET\n/\n\nhost:x\nx-amz-meta-auth:[redacted]\nx-amz-meta-partner:[redacted]\n\nhost\nhash"
    );
}

#[test]
fn the_target_in_the_canonical_request_has_no_secret_either() {
    let canonical = |target, text: &str| {
        Redaction::default().canonical(&Raw::of(text.as_bytes()), target, &[], &mut KnownSecrets::default())
    };
    let text = "GET\n/v1/token:hunter2/x\na=b&password=hunter3\nhost:x\nx-a:Bearer hunter4\n\nhost;x-a\nhash";
    assert_eq!(
        canonical(["/token:%5Bredacted%5D/x", "a=b&password=%5Bredacted%5D"], text),
        "GET\n/v1/token:%5Bredacted%5D/x\na=b&password=%5Bredacted%5D\nhost:x\nx-a:Bearer [redacted]\n\nhost;x-a\nhash"
    );
    let text = "GET\n/x\na=b\nhost:x\n\nhost\nhash";
    assert_eq!(canonical(["/x", "a=b"], text), text);
}
