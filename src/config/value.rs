//! From texts to durations, sizes, counts and names. Each function says what is wrong in words for the user.

use std::{fmt, net::IpAddr, time::Duration};

use bytesize::ByteSize;
use tracing_subscriber::EnvFilter;

use super::problem::nearest;
use crate::{
    credentials::{AuthFlow, IdentityPoolId, UserPoolId},
    downstream::listener::Listen,
    endpoint,
    inspector::Mode,
    proxy::{PayloadSigning, WebsocketSigning},
    signing::RegionSet,
    telemetry::LogFormat,
};

/// A value, or what is wrong with the text.
pub(crate) type Parsed<T> = Result<T, String>;

/// Longer waits are typing errors.
const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The region in the ids of pools that cognito-local makes.
const LOCAL_REGION: &str = "local";

/// Where credentials come from, as named in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Cognito,
    Guest,
    Aws,
}

/// What surrounds a value that was copied with its quotes, its line end or blanks, and the value without them.
pub(super) fn surroundings(text: &str) -> Option<(&'static str, &str)> {
    let bare = text.trim_end_matches(['\r', '\n']);
    let unquoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| bare.strip_prefix(quote)?.strip_suffix(quote))
        .map(|inner| ("has quotes around it", inner.trim()));
    unquoted.or_else(|| match text {
        _ if bare != text => Some(("ends with a line break (CR or LF)", bare.trim())),
        _ if bare.trim() != bare => Some(("has blanks around it", bare.trim())),
        _ => None,
    })
}

pub(super) fn text(text: &str) -> Parsed<String> {
    match text {
        "" => Err("is empty".to_owned()),
        text if text.contains(char::is_control) => Err("has a control character in it".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// A wait that is not zero.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    match duration_or_zero(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        duration => Ok(duration),
    }
}

pub(super) fn duration_or_zero(text: &str) -> Parsed<Duration> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration > MAX_DURATION => Err("must not be longer than 30 days".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) if text.parse::<u32>().is_ok() => {
            Err(format!("{text:?} is a duration without a unit; did you mean {text}s?"))
        }
        Err(_) => Err(format!("{text:?} is not a duration such as 500ms, 3s or 5m")),
    }
}

/// A number of bytes.
pub(super) fn size(text: &str) -> Parsed<u64> {
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("{text:?} is not a size such as 512KiB, 10MiB or a number of bytes"))
}

/// A number from 1.
pub(super) fn count(text: &str) -> Parsed<usize> {
    match text.parse::<u32>() {
        Ok(number) if number > 0 => Ok(number as usize),
        _ => Err(format!("{text:?} is not a whole number from 1 to {}", u32::MAX)),
    }
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{text:?} is not a port from 1 to 65535")),
    }
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// What the inspector keeps; `None` for nothing.
pub(super) fn inspect(text: &str) -> Parsed<Option<Mode>> {
    match text {
        "off" => Ok(None),
        "heads" => Ok(Some(Mode::Heads)),
        "bodies" => Ok(Some(Mode::Bodies)),
        _ => Err(format!("{text:?} is none of off, heads and bodies")),
    }
}

/// The name of a header, a query parameter or a field.
pub(super) fn field_name(text: &str) -> Parsed<String> {
    match text {
        "" => Err("is empty".to_owned()),
        text if text.bytes().any(|byte| byte.is_ascii_alphanumeric()) => Ok(text.to_owned()),
        _ => Err(format!("{text:?} has no letter and no digit in it")),
    }
}

pub(super) fn listen(text: &str) -> Parsed<Listen> {
    text.parse().map_err(|error| match meant_listen(text) {
        Some(meant) => format!("{text:?} is not a listen address; did you mean {meant}?"),
        None => format!("{text:?} is not a listen address: {error}"),
    })
}

/// The listen address that other programs write as `8181`, `:8181`, `*:8181`, `localhost` or as a URL.
fn meant_listen(text: &str) -> Option<String> {
    let bare = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let bare = bare.trim_end_matches('/');
    let meant = match bare.split_once(':') {
        None if bare.parse::<u16>().is_ok() => format!("localhost:{bare}"),
        None if bare == "localhost" || bare.parse::<IpAddr>().is_ok() => format!("{bare}:8181"),
        Some(("", port)) => format!("localhost:{port}"),
        Some(("*", port)) => format!("0.0.0.0:{port}"),
        _ => bare.to_owned(),
    };
    (meant != text && meant.parse::<Listen>().is_ok()).then_some(meant)
}

pub(super) fn listen_or_off(text: &str) -> Parsed<Option<Listen>> {
    if text == "off" { Ok(None) } else { listen(text).map(Some) }
}

pub(super) fn region(text: &str) -> Parsed<String> {
    if endpoint::can_be_region(text) { Ok(text.to_owned()) } else { Err(not_a_region(text)) }
}

/// A set of regions: names, and patterns with `*` in them.
pub(super) fn region_set(text: &str) -> Parsed<RegionSet> {
    let set: RegionSet = text.parse().map_err(|error| format!("{text:?} is {error}"))?;
    let names = set.as_str().split(',').filter(|entry| !entry.contains('*'));
    names.map(region).collect::<Parsed<Vec<String>>>()?;
    Ok(set)
}

/// What is wrong with a text that is not the name of a region.
pub(super) fn not_a_region(text: &str) -> String {
    match endpoint::nearest_region(text) {
        Some(near) => format!("{text:?} is not an AWS region; did you mean {near}?"),
        None => format!("{text:?} is not an AWS region such as eu-west-1"),
    }
}

/// What to say about a region that AWS did not have when this version was made.
pub(super) fn unknown_region(region: &str) -> Option<String> {
    if endpoint::is_known_region(region) || region == LOCAL_REGION {
        return None;
    }
    Some(match endpoint::nearest_region(region) {
        Some(near) => format!("{region} is not a region that this version knows; did you mean {near}?"),
        None => format!("{region} is not a region that this version knows"),
    })
}

/// Refuses a pool whose id begins with what cannot be a region.
fn in_a_region<T>(id: T, region: fn(&T) -> &str) -> Parsed<T> {
    match region(&id) {
        region if endpoint::can_be_region(region) || region == LOCAL_REGION => Ok(id),
        region => Err(format!("the id begins with a mistyped region: {}", not_a_region(region))),
    }
}

pub(super) fn service(text: &str) -> Parsed<String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not a signing name such as execute-api"))
}

pub(super) fn user_pool_id(text: &str) -> Parsed<UserPoolId> {
    if text.parse::<IdentityPoolId>().is_ok() {
        return Err(format!("{text:?} is the id of an identity pool; set it as identity-pool-id"));
    }
    in_a_region(text.parse().map_err(|error| format!("{text:?} is {error}"))?, UserPoolId::region)
}

pub(super) fn identity_pool_id(text: &str) -> Parsed<IdentityPoolId> {
    if text.parse::<UserPoolId>().is_ok() {
        return Err(format!("{text:?} is the id of a user pool; set it as user-pool-id"));
    }
    in_a_region(text.parse().map_err(|error| format!("{text:?} is {error}"))?, IdentityPoolId::region)
}

/// `[\w+]{1,128}`, as the Cognito API has it.
pub(super) fn client_id(text: &str) -> Parsed<String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'+';
    if (1..=128).contains(&text.len()) && text.bytes().all(legal) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not an app client id: letters, digits, + and _ only"))
}

pub(super) fn role_arn(text: &str) -> Parsed<String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let is_role = match parts.as_slice() {
        ["arn", partition, "iam", "", account, resource] => {
            partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.ends_with('/'))
                && resource.bytes().all(|b| b.is_ascii_graphic())
        }
        _ => false,
    };
    if is_role {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not a role's ARN such as arn:aws:iam::123456789012:role/NAME"))
}

/// The key in `Logins`: a name like `cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123`.
pub(super) fn login_provider(given: &str) -> Parsed<String> {
    if given.contains("://") {
        return Err(format!(
            "{given:?} has a scheme; write it without, as in cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123"
        ));
    }
    text(given)
}

pub(super) fn source(text: &str) -> Parsed<Source> {
    choice(text, &[("cognito", Source::Cognito), ("guest", Source::Guest), ("aws", Source::Aws)])
}

pub(super) fn payload(text: &str) -> Parsed<PayloadSigning> {
    choice(text, &[("hashed", PayloadSigning::Hashed), ("unsigned", PayloadSigning::Unsigned)])
}

pub(super) fn websocket_signing(text: &str) -> Parsed<WebsocketSigning> {
    choice(text, &[("headers", WebsocketSigning::Headers), ("query", WebsocketSigning::Query)])
}

pub(super) fn auth_flow(text: &str) -> Parsed<AuthFlow> {
    choice(
        text,
        &[
            ("srp", AuthFlow::Srp),
            ("password", AuthFlow::Password),
            ("custom", AuthFlow::Custom),
            ("user-auth", AuthFlow::UserAuth),
        ],
    )
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    choice(text, &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)])
}

/// A level or a filter in the syntax of `RUST_LOG`.
pub(super) fn log_level(text: &str) -> Parsed<String> {
    const LEVELS: &[(&str, ())] =
        &[("off", ()), ("error", ()), ("warn", ()), ("info", ()), ("debug", ()), ("trace", ())];
    // A lone word that is no level would be a target, and a typing error would silence the log.
    if !text.contains(['=', ',', '[', ':']) {
        return choice(&text.to_ascii_lowercase(), LEVELS).map(|()| text.to_ascii_lowercase());
    }
    log_filter(text)
}

/// What `RUST_LOG` may be, lone targets included, since it is shared with other programs.
pub(super) fn log_filter(text: &str) -> Parsed<String> {
    // The parser cuts some other texts within a character, and panics.
    if !text.is_ascii() {
        return Err(format!("{text:?} is not a log filter: it has characters that are not ASCII"));
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is not a log filter: {error}")),
    }
}

/// A password or client secret. Cognito takes none that begins or ends with a space.
pub(super) fn secret(text: &str) -> Parsed<String> {
    if text.trim() == text {
        return Ok(text.to_owned());
    }
    Err("begins or ends with a space, which no password and no client secret of Cognito does".to_owned())
}

/// Base32 as authenticator apps have it: groups and small letters do not matter.
pub(super) fn totp_secret(text: &str) -> Parsed<String> {
    let secret: String =
        text.chars().filter(|c| !matches!(c, ' ' | '-' | '=')).map(|c| c.to_ascii_uppercase()).collect();
    if secret.len() >= 16 && secret.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7')) {
        return Ok(secret);
    }
    Err("is not a base32 secret of at least 16 letters A to Z and digits 2 to 7".to_owned())
}

/// A token that fits into an `Authorization` header.
pub(super) fn bearer_token(text: &str) -> Parsed<String> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("has characters that no header can carry; only visible ASCII is allowed".to_owned())
}

fn choice<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Parsed<T> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    Err(not_a_choice(text, &names))
}

fn not_a_choice(text: &str, names: &[&str]) -> String {
    let all = fmt::from_fn(|f| match names {
        [first @ .., last] => write!(f, "{} or {last}", first.join(", ")),
        [] => Ok(()),
    });
    match nearest(text, names.iter().copied()) {
        Some(near) => format!("{text:?} is not {all}; did you mean {near}?"),
        None => format!("{text:?} is not {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        for (text, millis) in [("500ms", 500), ("3s", 3_000), ("5m", 300_000), ("1h 30m", 5_400_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "3", "s", "-1s", "0s", "1.5", "31 days", "99999999999999999999s", "3 bananas"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_text_has_something_in_it_and_no_control_character() {
        assert_eq!(text("a b"), Ok("a b".to_owned()));
        for bad in ["", "a\nb", "a\u{7f}", "a\u{85}b", "\0"] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_longest_wait_is_thirty_days() {
        assert_eq!(duration("30 days"), Ok(MAX_DURATION));
        assert!(duration("30 days 1ms").is_err());
    }

    #[test]
    fn counts_and_ports_are_whole_numbers_from_one() {
        assert_eq!((count("1"), count("4294967295")), (Ok(1), Ok(4_294_967_295)));
        for text in ["", "0", "-1", "1.5", "4294967296", "one"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!((port("1"), port("65535")), (Ok(1), Ok(65_535)));
        for text in ["", "0", "-1", "65536", "http"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_is_the_name_that_aws_signs_with() {
        for text in ["execute-api", "s3", "lambda"] {
            assert_eq!(service(text), Ok(text.to_owned()));
        }
        for text in ["", "Execute-Api", "execute_api", "execute api", "lambdä"] {
            assert!(service(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_id_has_128_letters_at_most() {
        for text in ["a", "7Abc_+", &"a".repeat(128)] {
            assert_eq!(client_id(text), Ok(text.to_owned()));
        }
        for text in ["", "a b", "a-b", "ä", &"a".repeat(129)] {
            assert!(client_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_login_provider_is_a_name_and_no_url() {
        let name = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123";
        assert_eq!(login_provider(name), Ok(name.to_owned()));
        for text in ["", &format!("https://{name}"), "a\tb"] {
            assert!(login_provider(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_totp_secret_is_base32_of_ten_bytes_or_more() {
        let whole = "GEZDGNBVGY3TQOJQ";
        for text in [whole, "gezd gnbv gy3t qojq", "GEZD-GNBV-GY3T-QOJQ", "GEZDGNBVGY3TQOJQ===="] {
            assert_eq!(totp_secret(text), Ok(whole.to_owned()), "{text}");
        }
        for text in ["", &whole[1..], "GEZDGNBVGY3TQOJ1", "GEZDGNBVGY3TQOJ8", "GEZDGNBVGY3TQOJÄ"] {
            assert!(totp_secret(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bearer_token_fits_into_a_header() {
        assert_eq!(bearer_token("a~!b"), Ok("a~!b".to_owned()));
        for text in ["a b", "a\tb", "ä", "a\u{7f}"] {
            assert!(bearer_token(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_bytes_unless_they_have_a_unit() {
        for (text, bytes) in [("0", 0), ("1024", 1024), ("10MiB", 10 << 20), ("1 KiB", 1024), ("2kB", 2000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "MiB", "10 potatoes", "0x10"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn switches_are_read_as_people_write_them() {
        for text in ["true", "TRUE", "on", "yes", "1"] {
            assert_eq!(switch(text), Ok(true), "{text}");
        }
        for text in ["false", "off", "No", "0"] {
            assert_eq!(switch(text), Ok(false), "{text}");
        }
        for text in ["", "2", "enabled"] {
            assert!(switch(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_may_have_spaces_within_only() {
        assert_eq!(secret("one two"), Ok("one two".to_owned()));
        for text in [" one", "one ", "one\u{a0}"] {
            assert!(secret(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn role_arns_are_those_of_roles_in_any_partition() {
        for text in [
            "arn:aws:iam::123456789012:role/Reader",
            "arn:aws-cn:iam::123456789012:role/path/Reader",
            "arn:aws-us-gov:iam::123456789012:role/Reader",
        ] {
            assert_eq!(role_arn(text), Ok(text.to_owned()));
        }
        for text in [
            "",
            "Reader",
            "arn:aws:iam::123456789012:user/Reader",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::1234:role/Reader",
            "arn:aws:iam:eu-west-1:123456789012:role/Reader",
            "arn:aws:iam::123456789012:role/a b",
            "arn:aws:iam::123456789012:role/path/",
            "arn:aws:iam::12345678901x:role/Reader",
            "arn:azure:iam::123456789012:role/Reader",
        ] {
            assert!(role_arn(text).is_err(), "{text}");
        }
    }

    #[test]
    fn log_levels_filters_and_typos_are_distinguished() {
        assert_eq!(log_level("INFO"), Ok("info".to_owned()));
        assert_eq!(log_level("countersign=debug,warn"), Ok("countersign=debug,warn".to_owned()));
        assert_eq!(log_filter("hyper"), Ok("hyper".to_owned()));
        for text in ["", "inof", "countersign=loud", "a=b=c", "ä=debug"] {
            assert!(log_level(text).is_err(), "{text}");
        }
        assert!(log_level("inof").expect_err("refused").ends_with("did you mean info?"));
    }
}
