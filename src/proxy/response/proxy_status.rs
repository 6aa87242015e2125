//! `Proxy-Status` (RFC 9209), by which clients tell the proxy's own answers from the upstream's.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(in crate::proxy) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What this proxy calls itself; no other member may begin with it, because clients may look no further.
const NAME: &[u8] = b"countersign";

/// Removes what an upstream says in this proxy's name. What other proxies say stays.
///
/// All lines are read as one list, as a client does, so that a string may begin in one and end in the next. A
/// field that does not parse is removed as a whole: readers must ignore it (RFC 9651 section 4.2), and not all do.
pub(in crate::proxy) fn remove_ours(headers: &mut HeaderMap) {
    if !headers.contains_key(PROXY_STATUS) {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(PROXY_STATUS).iter().map(HeaderValue::as_bytes).collect();
    let list = lines.join(&b", "[..]);
    let members = members(&list).unwrap_or_default();
    if !members.is_empty() && !members.iter().any(|member| is_ours(member)) {
        return;
    }
    let others: Vec<&[u8]> = members.into_iter().filter(|member| !is_ours(member)).collect();
    headers.remove(PROXY_STATUS);
    if !others.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&others.join(&b", "[..]))
    {
        headers.insert(PROXY_STATUS, value);
    }
}

/// The members of a structured list, cut at the commas outside of strings; `None` where strings or bytes are
/// not what RFC 9651 has.
fn members(list: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut members, mut start) = (Vec::new(), 0);
    let mut bytes = list.iter().enumerate();
    let mut in_string = false;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string && matches!(bytes.next(), Some((_, b'"' | b'\\'))) => {}
            b'\\' => return None,
            b',' if !in_string => {
                members.push(list[start..at].trim_ascii());
                start = at + 1;
            }
            b'\t' if !in_string => {}
            b' '..=b'~' => {}
            _ => return None,
        }
    }
    members.push(list[start..].trim_ascii());
    (!in_string).then_some(members)
}

/// Whether a member is this proxy's, as a token or a string, also for readers that are less strict.
fn is_ours(member: &[u8]) -> bool {
    let name = member.iter().position(u8::is_ascii_alphanumeric).map_or(&[][..], |at| &member[at..]);
    name.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(lines: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PROXY_STATUS, HeaderValue::from_bytes(line.as_bytes()).expect("a value"));
        }
        remove_ours(&mut headers);
        let left = headers.get_all(PROXY_STATUS).iter();
        left.map(|value| value.to_str().expect("text").to_owned()).collect()
    }

    #[test]
    fn only_members_in_this_proxys_name_are_removed() {
        for (lines, expected) in [
            (&["countersign; error=connection_refused"][..], &[][..]),
            (&["\"countersign\";error=dns_timeout"], &[]),
            (&["Countersign; error=x"], &[]),
            (&["countersign-2; error=x"], &[]),
            (&["(countersign);error=x"], &[]),
            (&["cdn; error=x"], &["cdn; error=x"]),
            (&["cdn", "edge; received-status=200"], &["cdn", "edge; received-status=200"]),
            (&["cdn, countersign; error=x, edge"], &["cdn, edge"]),
            (&["cdn", "countersign; error=x", "edge"], &["cdn, edge"]),
            (&["cdn; details=\"a, countersign; error=x\""], &["cdn; details=\"a, countersign; error=x\""]),
            (&["cdn; details=\"a\\\", b\", countersign"], &["cdn; details=\"a\\\", b\""]),
            (&["cdn; details=\"a", "b\", countersign; error=x"], &["cdn; details=\"a, b\""]),
            (&["cdn; next-hop=countersign"], &["cdn; next-hop=countersign"]),
        ] {
            assert_eq!(left(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_unparsable_proxy_status_is_removed() {
        for line in [
            "cdn; details=\"open",
            "cdn; details=\"a\\b\", countersign",
            "cdn\\, countersign",
            "cdn\\\", countersign",
            "caf\u{e9}, countersign",
            "cdn; details=\"a\tb\"",
        ] {
            assert!(left(&[line]).is_empty(), "{line}");
        }
    }
}
