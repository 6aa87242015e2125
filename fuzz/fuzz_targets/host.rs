//! A host that counts as this machine's is an address of it or a name below localhost.
#![no_main]

use std::net::IpAddr;

use countersign::proxy::fuzzing::{authority, is_origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Some((shown, local)) = authority(text) else { return };
    assert_eq!(authority(shown.as_bytes()), Some((shown.clone(), local)), "an authority prints as itself");
    assert!(shown.bytes().all(|byte| byte.is_ascii_graphic() && !b"@/\\,#?%".contains(&byte)), "{shown}");
    assert!(is_origin(text, &format!("http://{shown}")));
    assert!(
        !is_origin(text, &format!("https://{shown}"))
            && !is_origin(text, &format!("http://{shown}.evil.test"))
    );
    if local {
        let host = shown.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let host = host.map_or(shown.as_str(), |(host, _)| host).trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>().map(|address| address.is_loopback());
        assert!(address.unwrap_or(host == "localhost" || host.ends_with(".localhost")), "{shown}");
    }
});
