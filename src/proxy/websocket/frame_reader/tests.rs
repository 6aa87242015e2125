use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x12, 0x00, 0xFF, 0x7B];

/// A frame as a peer sends it; the tests' own encoder.
#[derive(Clone, Debug)]
struct Sent {
    is_final: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
}

impl Sent {
    fn new(opcode: u8, payload: &[u8]) -> Self {
        Self { is_final: true, reserved: 0, opcode, mask: Some(MASK), payload: payload.to_vec() }
    }

    fn fragment(opcode: u8, payload: &[u8]) -> Self {
        Self { is_final: false, ..Self::new(opcode, payload) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.is_final) << 7 | self.reserved << 4 | self.opcode];
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match self.payload.len() {
            short @ 0..=125 => bytes.push(masked | short as u8),
            medium @ 126..=65535 => {
                bytes.push(masked | 126);
                bytes.extend((medium as u16).to_be_bytes());
            }
            long => {
                bytes.push(masked | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(self.mask.iter().flatten());
        let mask = self.mask.unwrap_or_default();
        bytes.extend(self.payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        bytes
    }
}

fn wire(frames: &[Sent]) -> Vec<u8> {
    frames.iter().flat_map(Sent::bytes).collect()
}

/// What a reader says of bytes that arrive in these pieces, as text, and the reader behind them.
fn read<'a>(
    direction: Direction,
    extensions: Extensions,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, FrameReader) {
    let mut reader = FrameReader::new(direction, extensions, 100);
    let mut events = Vec::new();
    for piece in pieces {
        reader.read(piece, &mut |event| events.push(described(&event)));
    }
    (events, reader)
}

fn described(event: &Event<'_>) -> String {
    match event {
        Event::Message(Message { opcode, length, is_compressed, code, text }) => {
            let compressed = if *is_compressed { " compressed" } else { "" };
            let code = code.map(|code| format!(" {code}")).unwrap_or_default();
            let text = String::from_utf8_lossy(text);
            format!("{opcode:?} {length}{compressed}{code} {text}").trim_end().to_owned()
        }
        other => format!("{other:?}"),
    }
}

fn up(frames: &[Sent]) -> (Vec<String>, FrameReader) {
    read(Direction::Up, Extensions::None, [wire(frames).as_slice()])
}

#[test]
fn every_length_of_a_message_is_read_with_and_without_a_mask() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
        for (direction, mask) in [(Direction::Up, Some(MASK)), (Direction::Down, None)] {
            let payload = vec![b'x'; length];
            let frame = Sent { mask, ..Sent::new(1, &payload) };
            let (events, reader) = read(direction, Extensions::None, [frame.bytes().as_slice()]);
            let text = format!("Text {length} {}", "x".repeat(length.min(100)));
            assert_eq!(events.last().map(String::as_str), Some(text.trim_end()));
            let counts = FrameCounts {
                frames: 1,
                text_messages: 1,
                text_bytes: length as u64,
                largest_frame: length as u64,
                largest_message: length as u64,
                ..FrameCounts::default()
            };
            assert_eq!(*reader.counts(), counts);
            assert!(reader.is_at_boundary());
        }
    }
}

#[test]
fn fragments_are_one_message_and_control_frames_between_them_are_their_own() {
    let (events, reader) = up(&[
        Sent::fragment(1, b"one "),
        Sent::new(9, b"ping"),
        Sent::fragment(0, b"two "),
        Sent::new(10, b""),
        Sent::new(0, b"three"),
        Sent::new(2, &[0; 7]),
    ]);
    assert_eq!(events, ["Ping 4", "Pong 0", "Text 13 one two three", "Binary 7"]);
    let counts = FrameCounts {
        frames: 6,
        text_messages: 1,
        binary_messages: 1,
        text_bytes: 13,
        binary_bytes: 7,
        pings: 1,
        pongs: 1,
        largest_frame: 7,
        largest_message: 13,
    };
    assert_eq!(*reader.counts(), counts);
    assert_eq!(reader.counts().messages(), 2);
}

#[test]
fn a_close_frame_is_kept_and_nothing_behind_it_is_read() {
    let close = [&1009_u16.to_be_bytes()[..], b"too long"].concat();
    let (events, reader) = up(&[Sent::new(8, &close), Sent::new(1, b"late")]);
    assert_eq!(events, ["Close 10 1009 too long"]);
    assert_eq!(reader.close(), Some(&Close { code: Some(1009), reason: "too long".to_owned() }));
    assert_eq!(reader.counts().frames, 1);
    assert!(!reader.is_at_boundary(), "a second Close must not follow");
}

#[test]
fn another_frame_may_be_sent_only_between_two_frames() {
    let bytes = wire(&[Sent::new(1, b"abc"), Sent::fragment(1, b"d"), Sent::new(9, b"")]);
    let boundaries = [0, 9, 16, 22];
    for end in 0..=bytes.len() {
        let (_, reader) = read(Direction::Up, Extensions::None, [&bytes[..end]]);
        assert_eq!(reader.is_at_boundary(), boundaries.contains(&end), "behind {end} bytes");
    }
}

#[test]
fn what_api_gateway_refuses_is_reported_once() {
    let frame = Sent::new(2, &vec![0; 32 * 1024 + 1]);
    let (events, _) = up(&[frame.clone(), frame]);
    assert_eq!(events, ["LargeFrame(32769)", "Binary 32769", "Binary 32769"]);

    let part = vec![0; 32 * 1024];
    let whole: Vec<Sent> = (0..4)
        .map(|at| Sent { is_final: at == 3, ..Sent::new(if at == 0 { 2 } else { 0 }, &part) })
        .collect();
    let (events, _) = up(&whole);
    assert_eq!(events, ["Binary 131072"], "each limit itself is allowed");

    let mut longer = whole;
    longer[3].is_final = false;
    longer.push(Sent::new(0, b"x"));
    let twice = [longer.clone(), longer].concat();
    let (events, _) = up(&twice);
    assert_eq!(events, ["LargeMessage(131073)", "Binary 131073", "Binary 131073"]);
}

#[test]
fn a_mask_against_the_rule_is_reported_once_and_read_all_the_same() {
    let unmasked = Sent { mask: None, ..Sent::new(1, b"hi") };
    let (events, _) = up(&[unmasked.clone(), unmasked]);
    assert_eq!(events, ["WrongMask", "Text 2 hi", "Text 2 hi"]);
    let masked = Sent::new(1, b"hi").bytes();
    let (events, _) = read(Direction::Down, Extensions::None, [masked.as_slice()]);
    assert_eq!(events, ["WrongMask", "Text 2 hi"]);
}

#[test]
fn a_compressed_message_is_counted_and_its_text_is_not_kept() {
    let frames = [
        Sent { reserved: 0b100, ..Sent::fragment(1, b"\xAA\xBB") },
        Sent::new(0, b"\xCC"),
        Sent::new(1, b"plain"),
    ];
    let (events, _) = read(Direction::Up, Extensions::PermessageDeflate, [wire(&frames).as_slice()]);
    assert_eq!(events, ["Text 3 compressed", "Text 5 plain"]);
}

#[test]
fn broken_framing_ends_the_reading_and_is_reported_once() {
    let reserved = |reserved, opcode| Sent { reserved, ..Sent::new(opcode, b"") };
    let long = [&[0x82, 0xFF, 0x80][..], &[0; 11]].concat();
    for (extensions, bytes, fault) in [
        (Extensions::None, Sent::new(3, b"").bytes(), FrameFault::ReservedOpcode),
        (Extensions::Other, Sent::new(11, b"").bytes(), FrameFault::ReservedOpcode),
        (Extensions::None, reserved(0b100, 1).bytes(), FrameFault::ReservedBit),
        (Extensions::PermessageDeflate, reserved(0b010, 1).bytes(), FrameFault::ReservedBit),
        (Extensions::PermessageDeflate, reserved(0b100, 9).bytes(), FrameFault::ReservedBit),
        (Extensions::None, Sent::fragment(9, b"").bytes(), FrameFault::FragmentedControl),
        (Extensions::None, Sent::new(9, &[0; 126]).bytes(), FrameFault::LongControl),
        (Extensions::None, long, FrameFault::Length),
        (Extensions::None, Sent::new(0, b"").bytes(), FrameFault::LoneContinuation),
        (
            Extensions::None,
            wire(&[Sent::fragment(1, b"a"), Sent::new(1, b"b")]),
            FrameFault::InterruptedMessage,
        ),
    ] {
        let bytes = [Sent::new(1, b"before").bytes(), bytes, Sent::new(1, b"behind").bytes()].concat();
        let (events, reader) = read(Direction::Up, extensions, [bytes.as_slice(), &bytes]);
        assert_eq!(events, ["Text 6 before".to_owned(), format!("Unreadable({fault:?})")]);
        assert!(!reader.is_at_boundary(), "{fault:?}");
    }
}

#[test]
fn an_extension_of_another_kind_may_use_every_reserved_bit() {
    let frames = [Sent { reserved: 0b011, ..Sent::new(2, b"ab") }];
    let (events, _) = read(Direction::Up, Extensions::Other, [wire(&frames).as_slice()]);
    assert_eq!(events, ["Binary 2 compressed"]);
}

#[test]
fn the_longest_frame_is_read_without_its_bytes_being_held() {
    let head = [&[0x81, 0xFF, 0x7F][..], &[0xFF; 7], &MASK].concat();
    let (events, mut reader) = read(Direction::Up, Extensions::None, [head.as_slice(), &[b'x'; 1000]]);
    assert_eq!(events, ["LargeMessage(9223372036854775807)", "LargeFrame(9223372036854775807)"]);
    assert_eq!((reader.counts().frames, reader.counts().text_bytes), (0, 1000));
    reader.read(&[0; 1000], &mut |event| panic!("{event:?}"));
}

#[test]
fn accepted_extensions_are_recognised() {
    for (values, expected) in [
        (&[][..], Extensions::None),
        (&["", " , "], Extensions::None),
        (&["Permessage-Deflate; server_max_window_bits=12"], Extensions::PermessageDeflate),
        (&["permessage-deflate", "x-other"], Extensions::Other),
        (&["permessage-deflate, permessage-deflate"], Extensions::Other),
        (&["x-webkit-deflate-frame"], Extensions::Other),
    ] {
        assert_eq!(Extensions::accepted(values.iter().copied()), expected, "{values:?}");
    }
}

fn frames() -> impl Strategy<Value = Vec<Sent>> {
    let length = prop_oneof![0..20_usize, 120..130_usize, 65_530..65_540_usize];
    let opcode = prop_oneof![8 => 0..3_u8, 3 => 8..11_u8, 1 => 0..16_u8];
    let mask = prop_oneof![9 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
    let frame = (any::<bool>(), 0..50_u8, opcode, mask, length, any::<u8>()).prop_map(
        |(is_final, reserved, opcode, mask, length, fill)| Sent {
            is_final: is_final || opcode > 2,
            // Mostly none, as on the wire.
            reserved: if reserved < 8 { reserved } else { 0 },
            opcode,
            mask,
            payload: vec![fill; if opcode > 2 { length % 126 } else { length }],
        },
    );
    prop::collection::vec(frame, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_read_the_same_however_their_bytes_are_split(
        frames in frames(),
        cuts in prop::collection::vec(1..70_000_usize, 1..6),
        extensions in prop_oneof![
            Just(Extensions::None), Just(Extensions::PermessageDeflate), Just(Extensions::Other)
        ],
    ) {
        let bytes = wire(&frames);
        let (whole, reader) = read(Direction::Up, extensions, [bytes.as_slice()]);
        let (single, of_single) = read(Direction::Up, extensions, bytes.chunks(1));
        prop_assert_eq!(&whole, &single);
        prop_assert_eq!(reader.counts(), of_single.counts());
        let (mut pieces, mut rest, mut cuts) = (Vec::new(), bytes.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*cuts.next().expect("a cycle")).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        let (cut, of_cut) = read(Direction::Up, extensions, pieces);
        prop_assert_eq!(&whole, &cut);
        prop_assert_eq!(reader.counts(), of_cut.counts());
        prop_assert_eq!(reader.is_at_boundary(), of_cut.is_at_boundary());
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_count_more_than_has_passed(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        step in 1..9_usize,
    ) {
        let (events, reader) = read(Direction::Down, Extensions::Other, bytes.chunks(step));
        let counts = reader.counts();
        prop_assert!(counts.text_bytes + counts.binary_bytes <= bytes.len() as u64);
        prop_assert!(events.len() <= bytes.len());
    }
}
