//! The wire target means what the client's target meant, and is canonical in one way only.
#![no_main]

use countersign::{sandbox, signing::{Encoding, WireTarget, fuzzing::{MAX_LENGTH, canonical_target}}};
use libfuzzer_sys::fuzz_target;

// A target behind a byte that chooses the encoding.
fuzz_target!(|input: &[u8]| {
    let Some((choice, target)) = input.split_first() else { return };
    let encoding = if *choice == b'1' { Encoding::Once } else { Encoding::Twice };
    let mark = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let (path, query) = (&target[..mark], target.get(mark + 1..));
    let Ok(target) = WireTarget::new("/prod", path, query, encoding) else { return };
    let wire = target.as_path_and_query();
    assert!(wire.as_str().len() <= MAX_LENGTH && wire.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(wire.path().starts_with("/prod/"));

    let again = WireTarget::new("", wire.path().as_bytes(), wire.query().map(str::as_bytes), encoding);
    assert_eq!(again.as_ref(), Ok(&target), "what is on the wire stays as it is");

    let (canonical_path, canonical_query) = canonical_target(&target, encoding);
    let query = wire.query().unwrap_or_default();
    let (verifiers_path, verifiers_query) = sandbox::fuzzing::canonical_target(wire.path(), query);
    if encoding == Encoding::Twice {
        assert_eq!(String::from_utf8_lossy(&canonical_path), verifiers_path);
    }
    assert_eq!(String::from_utf8_lossy(&canonical_query), verifiers_query);
});
