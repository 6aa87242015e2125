use super::{
    last::{MAX_MESSAGES, MAX_TEXT},
    *,
};

fn message(text: &[u8]) -> WebSocketMessage<'_> {
    WebSocketMessage {
        is_up: true,
        opcode: 1,
        size: text.len() as u64,
        is_compressed: false,
        code: None,
        passed: 6 + text.len() as u64,
        text,
    }
}

fn kept(messages: &Messages) -> Vec<Value> {
    let json = messages.json(SystemTime::UNIX_EPOCH);
    json["kept"].as_array().expect("an array").clone()
}

/// As a message that is redacted at once.
fn take_over(messages: &mut Messages, message: &WebSocketMessage<'_>, mode: Mode, known: &mut KnownSecrets) {
    let mut pending = PendingMessages { up: messages.up, down: messages.down, ..Default::default() };
    pending.add(message, Duration::from_secs(2), mode);
    (messages.up, messages.down) = (pending.up, pending.down);
    for message in pending.last.messages {
        messages.add(message, &Redaction::default(), known);
    }
}

fn add(messages: &mut Messages, message: &WebSocketMessage<'_>, mode: Mode) {
    take_over(messages, message, mode, &mut KnownSecrets::default());
}

#[test]
fn a_message_is_kept_with_its_text_or_with_the_reason_why_not() {
    let mut messages = Messages::default();
    let heads = WebSocketMessage { text: b"", size: 5, ..message(b"") };
    for (message, mode) in [
        (message(b"hello"), Mode::Bodies),
        (heads, Mode::Heads),
        (WebSocketMessage { opcode: 2, is_up: false, ..heads }, Mode::Bodies),
        (WebSocketMessage { is_compressed: true, ..heads }, Mode::Bodies),
        (WebSocketMessage { size: 9, ..message(b"hello") }, Mode::Bodies),
        (WebSocketMessage { opcode: 8, code: Some(1000), size: 5, ..message(b"bye") }, Mode::Bodies),
    ] {
        add(&mut messages, &message, mode);
    }
    let common = |direction: &str, opcode: u8, size: u64| json!({ "time": "1970-01-01T00:00:02.000Z", "direction": direction, "opcode": opcode, "size": size });
    let with = |mut value: Value, fields: Value| {
        let fields = fields.as_object().expect("an object").clone();
        value.as_object_mut().expect("an object").extend(fields);
        value
    };
    let expected = [
        with(common("up", 1, 5), json!({ "text": "hello", "truncated": false })),
        with(common("up", 1, 5), json!({ "omitted": "heads" })),
        with(common("down", 2, 5), json!({ "omitted": "binary" })),
        with(common("up", 1, 5), json!({ "omitted": "encoded" })),
        with(common("up", 1, 9), json!({ "text": "hello", "truncated": true })),
        with(common("up", 8, 5), json!({ "code": 1000, "text": "bye", "truncated": false })),
    ];
    assert_eq!(kept(&messages), expected);
    assert_eq!(messages.bytes(), [9, 6]);
    assert_eq!((messages.up.messages, messages.down.messages), (4, 1), "a Close frame is no message");
}

#[test]
fn the_last_messages_are_kept_within_limits_on_their_number_and_their_text() {
    let mut messages = Messages::default();
    for number in 0..MAX_MESSAGES + 10 {
        add(&mut messages, &message(number.to_string().as_bytes()), Mode::Bodies);
    }
    assert_eq!(kept(&messages).len(), MAX_MESSAGES);
    assert_eq!(kept(&messages)[0]["text"], "10");
    assert_eq!(messages.json(SystemTime::UNIX_EPOCH)["forgotten"], 10);
    let long = vec![b'x'; MAX_BODY];
    for _ in 0..20 {
        add(&mut messages, &message(&long), Mode::Bodies);
    }
    assert_eq!(kept(&messages).len(), MAX_TEXT / MAX_BODY);
    assert!(messages.memory() < MAX_TEXT + MAX_BODY, "{}", messages.memory());
}

#[test]
fn secrets_are_taken_out_of_messages() {
    let mut messages = Messages::default();
    let mut known = KnownSecrets::default();
    known.add("canary-of-the-credentials");
    for text in [
        &br#"{"action":"login","password":"canary-of-the-password"}"#[..],
        b"you said canary-of-the-password and canary-of-the-credentials",
        b"a cut canary-of-the-cre",
    ] {
        take_over(&mut messages, &message(text), Mode::Bodies, &mut known);
    }
    let text = messages.json(SystemTime::UNIX_EPOCH).to_string();
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn an_archive_has_messages_as_chrome_writes_them() {
    let mut messages = Messages::default();
    add(&mut messages, &message(b"hi"), Mode::Bodies);
    add(&mut messages, &WebSocketMessage { is_up: false, opcode: 2, size: 3, ..message(b"") }, Mode::Bodies);
    let expected = json!([
        { "type": "send", "time": 2.0, "opcode": 1, "data": "hi" },
        { "type": "receive", "time": 2.0, "opcode": 2, "data": "" },
    ]);
    assert_eq!(messages.har(SystemTime::UNIX_EPOCH), expected);
}
