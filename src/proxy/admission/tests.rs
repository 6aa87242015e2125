use http::Request;
use secrecy::SecretString;

use super::*;

const DEV: &str = "http://localhost:5173";

fn guard() -> Guard {
    Guard::new(&GuardSettings {
        allowed_origins: vec![DEV.into()],
        allowed_hosts: vec!["api-proxy".into()],
        ..GuardSettings::default()
    })
}

fn parts(request: http::request::Builder) -> Parts {
    request.body(()).expect("a request").into_parts().0
}

fn asked(headers: &[(&str, &str)]) -> Result<Audience, Refusal> {
    asked_of(&guard(), "GET", headers)
}

fn asked_of(guard: &Guard, method: &str, headers: &[(&str, &str)]) -> Result<Audience, Refusal> {
    let mut request = Request::builder().method(method).uri("/items");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:8181");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    guard.admit(&parts(request), &own())
}

/// A request that asks for a WebSocket.
fn offering(headers: &[(&str, &str)]) -> Parts {
    let request = Request::get("/items").header("host", "localhost:8181");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut parts = parts(request);
    parts.extensions.insert(UpgradeOffer);
    parts
}

fn own() -> Endpoints {
    Endpoints { owner: Owner::Own, ..Endpoints::default() }
}

fn plain() -> Audience {
    Audience { origin: None, preflight: false, document: false }
}

fn from_dev() -> Audience {
    Audience { origin: Some(HeaderValue::from_static(DEV)), ..plain() }
}

#[test]
fn clients_other_than_browsers_pass() {
    assert_eq!(asked(&[]), Ok(plain()));
    assert_eq!(asked(&[("host", "127.0.0.1:8181")]), Ok(plain()));
    assert_eq!(asked(&[("host", "api-proxy:8181")]), Ok(plain()));
}

#[test]
fn other_names_are_refused_with_the_setting_that_allows_them() {
    let refusal = asked(&[("host", "evil.test:8181")]).expect_err("refused");
    assert_eq!(refusal, Refusal::HostNotAllowed { host: "evil.test".into() });
    assert!(refusal.to_string().contains("--allow-host evil.test"));
}

#[test]
fn the_address_bar_and_the_proxys_own_pages_pass() {
    assert_eq!(asked(&[("sec-fetch-site", "none")]), Ok(plain()));
    assert_eq!(asked(&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:5173")]), Ok(plain()));
    assert_eq!(asked(&[("origin", "http://localhost:8181")]), Ok(plain()));
    assert_eq!(asked(&[("referer", "http://localhost:8181/page?a=1")]), Ok(plain()));
}

#[test]
fn pages_of_other_sites_are_refused_for_every_method() {
    let cases: &[&[(&str, &str)]] = &[
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")],
        &[("sec-fetch-site", "cross-site"), ("referer", "https://evil.test/")],
        &[("sec-fetch-site", "weird")],
        &[("origin", "null")],
        &[("origin", "https://evil.test")],
        &[("origin", "http://localhost:8182")],
        &[("origin", "https://localhost:8181")],
        &[("referer", "https://evil.test/http://localhost:8181/")],
        &[("origin", "")],
        &[("origin", "http://localhost:5173.evil.test")],
        &[("origin", "http://localhost:5173/")],
    ];
    for headers in cases {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            let refusal = asked_of(&guard(), method, headers).expect_err("refused");
            assert!(matches!(refusal, Refusal::CrossSite { .. }), "{method} {headers:?}: {refusal:?}");
        }
    }
}

#[test]
fn sec_fetch_site_none_beside_a_foreign_page_is_cross_site() {
    let none = ("sec-fetch-site", "none");
    let own = "http://localhost:8181";
    for headers in [
        &[none, ("origin", "http://evil.test")][..],
        &[none, ("origin", "null")],
        &[none, ("referer", "https://evil.test/page")],
        &[none, ("referer", "http://localhost:8181@evil.test/")],
        &[none, ("origin", own), ("referer", "https://evil.test/")],
    ] {
        let refusal = asked(headers).expect_err("refused");
        assert!(matches!(refusal, Refusal::CrossSite { .. }), "{headers:?}: {refusal:?}");
    }
    assert_eq!(asked(&[none, ("origin", own), ("referer", "http://localhost:8181/a")]), Ok(plain()));
    assert_eq!(asked(&[none, ("origin", DEV)]), Ok(from_dev()));
    assert_eq!(asked(&[none, ("referer", "http://localhost:5173/page")]), Ok(from_dev()));
}

#[test]
fn prefetches_must_be_same_origin() {
    for purpose in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch;anonymous-client-ip"),
        ("sec-purpose", "Prefetch ; prerender=?1"),
        ("sec-purpose", "\"prerender\""),
        ("sec-purpose", "other, prefetch"),
        ("purpose", "prefetch"),
        ("purpose", "PREVIEW"),
        ("purpose", " prerender"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        for refused in [
            &[purpose][..],
            &[purpose, ("sec-fetch-site", "none")],
            &[purpose, ("sec-fetch-site", "none"), ("referer", "http://localhost:8181/")],
            &[purpose, ("sec-fetch-site", "cross-site")],
            &[("sec-purpose", "other"), purpose],
        ] {
            let refusal = asked(refused).expect_err("refused");
            assert!(matches!(refusal, Refusal::CrossSite { .. }), "{refused:?}: {refusal:?}");
        }
        assert_eq!(asked(&[purpose, ("sec-fetch-site", "same-origin")]), Ok(plain()), "{purpose:?}");
        assert_eq!(asked(&[purpose, ("referer", "http://localhost:8181/a")]), Ok(plain()), "{purpose:?}");
        let allowed = [purpose, ("sec-fetch-site", "same-site"), ("referer", "http://localhost:5173/")];
        assert_eq!(asked(&allowed), Ok(from_dev()), "{purpose:?}");
    }
    assert_eq!(asked(&[("purpose", "billing"), ("sec-fetch-site", "none")]), Ok(plain()));
}

#[test]
fn the_title_of_a_page_is_logged_once() {
    for name in ["origin", "referer", "sec-fetch-site"] {
        let refused = asked(&[(name, "same-origin"), (name, "same-origin")]);
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{name}: {refused:?}");
    }
    for odd in ["Same-Origin", "same-origin;a", "same-origin, none", "\"none\"", "none;a=1", ""] {
        let refused = asked(&[("sec-fetch-site", odd)]);
        assert_eq!(refused, Err(Refusal::CrossSite { origin: None }), "{odd}");
    }
}

#[test]
fn a_dev_server_in_between_may_pass_on_its_own_origin() {
    let origin = [("sec-fetch-site", "same-origin"), ("origin", "http://localhost:9999")];
    let referrer = [("sec-fetch-site", "same-origin"), ("referer", "http://localhost:9999/page")];
    assert_eq!(asked(&origin), Ok(plain()));
    assert_eq!(asked(&referrer), Ok(plain()));
}

#[test]
fn allowed_origins_pass_and_are_echoed() {
    assert_eq!(asked(&[("sec-fetch-site", "cross-site"), ("origin", DEV)]), Ok(from_dev()));
    assert_eq!(asked(&[("sec-fetch-site", "same-site"), ("origin", DEV)]), Ok(from_dev()));
    assert_eq!(asked(&[("origin", DEV)]), Ok(from_dev()));
    let image = [("sec-fetch-site", "same-site"), ("referer", "http://localhost:5173/page")];
    assert_eq!(asked(&image), Ok(from_dev()));
}

#[test]
fn an_allowed_origin_is_the_whole_of_a_referrers() {
    for referrer in [
        "http://localhost:51739/page",
        "http://localhost:5173.evil.test/",
        "http://localhost:5173@evil.test/",
    ] {
        let image = [("sec-fetch-site", "cross-site"), ("referer", referrer)];
        assert!(matches!(asked(&image), Err(Refusal::CrossSite { .. })), "{referrer}");
    }
}

#[test]
fn a_page_of_the_proxy_is_one_however_its_url_is_written() {
    for (name, url) in [
        ("origin", "HTTP://LocalHost:8181"),
        ("referer", "HTTP://LocalHost:8181/page"),
        ("referer", "http://localhost:8181?a/b"),
        ("referer", "http://localhost:8181#a/b"),
        ("referer", "http://localhost:8181"),
    ] {
        assert_eq!(asked(&[(name, url)]), Ok(plain()), "{name}: {url}");
    }
}

#[test]
fn only_an_origin_that_can_be_typed_into_a_setting_is_shown() {
    for (origin, shown) in [
        ("https://evil.test:8443", Some("https://evil.test:8443")),
        ("HTTPS://Evil.test", Some("https://evil.test")),
        ("http://[2001:db8::1]", Some("http://[2001:db8::1]")),
        ("null", None),
        ("http://evil.test; rm -rf ~", None),
        ("http://evil.test\"", None),
    ] {
        let refused = Err(Refusal::CrossSite { origin: shown.map(str::to_owned) });
        assert_eq!(asked(&[("origin", origin)]), refused, "{origin}");
    }
    let long = format!("http://{}.test", "a".repeat(256));
    assert_eq!(asked(&[("origin", &long)]), Err(Refusal::CrossSite { origin: None }));
}

#[test]
fn an_allowed_referer_does_not_outweigh_a_foreign_origin() {
    let headers =
        [("sec-fetch-site", "cross-site"), ("origin", "null"), ("referer", "http://localhost:5173/")];
    assert_eq!(asked(&headers), Err(Refusal::CrossSite { origin: None }));
}

#[test]
fn preflights_of_allowed_origins_are_recognised_and_need_no_token() {
    let guarded = Guard::new(&GuardSettings {
        allowed_origins: vec![DEV.into()],
        bearer_token: Some(SecretString::from("secret")),
        ..GuardSettings::default()
    });
    let headers = [("origin", DEV), ("access-control-request-method", "PUT")];
    assert_eq!(asked_of(&guarded, "OPTIONS", &headers), Ok(Audience { preflight: true, ..from_dev() }));
    assert_eq!(asked_of(&guarded, "PUT", &headers), Err(Refusal::TokenRequired));
}

#[test]
fn an_options_request_is_a_preflight_only_for_an_allowed_origin_and_with_a_method_to_ask_for() {
    let guarded = Guard::new(&GuardSettings {
        allowed_origins: vec![DEV.into()],
        bearer_token: Some(SecretString::from("secret")),
        ..GuardSettings::default()
    });
    let method = ("access-control-request-method", "PUT");
    for headers in [&[method][..], &[("origin", "http://localhost:8181"), method], &[("origin", DEV)]] {
        assert_eq!(asked_of(&guarded, "OPTIONS", headers), Err(Refusal::TokenRequired), "{headers:?}");
    }
    assert_eq!(asked_of(&guard(), "OPTIONS", &[method]), Ok(plain()), "goes to the API");
    assert_eq!(asked_of(&guard(), "OPTIONS", &[("origin", DEV)]), Ok(from_dev()), "goes to the API");
}

#[test]
fn the_token_is_taken_in_its_three_forms_and_no_other() {
    let guarded = Guard::new(&GuardSettings {
        bearer_token: Some(SecretString::from("s3cret")),
        ..GuardSettings::default()
    });
    for (name, value) in [
        ("authorization", "Bearer s3cret"),
        ("authorization", "bearer  s3cret"),
        ("authorization", "Basic eDpzM2NyZXQ="),
        ("x-countersign-token", "s3cret"),
    ] {
        assert_eq!(asked_of(&guarded, "GET", &[(name, value)]), Ok(plain()), "{name}: {value}");
    }
    for (name, value) in [
        ("authorization", "Bearer wrong"),
        ("authorization", "Bearer s3cret2"),
        ("authorization", "s3cret"),
        ("authorization", "Digest s3cret"),
        ("authorization", "Basic s3cret"),
        ("authorization", "Basic czNjcmV0"),
        ("x-countersign-token", ""),
        ("cookie", "s3cret"),
    ] {
        assert_eq!(
            asked_of(&guarded, "GET", &[(name, value)]),
            Err(Refusal::TokenRequired),
            "{name}: {value}"
        );
    }
}

#[test]
fn a_basic_password_begins_behind_the_first_colon() {
    let guarded = Guard::new(&GuardSettings {
        bearer_token: Some(SecretString::from("s3:cr:et")),
        ..GuardSettings::default()
    });
    let asked = |value| asked_of(&guarded, "GET", &[("authorization", value)]);
    assert_eq!(asked("Basic dXNlcjpzMzpjcjpldA=="), Ok(plain()), "user:s3:cr:et");
    assert_eq!(asked("Basic OnMzOmNyOmV0"), Ok(plain()), ":s3:cr:et");
    assert_eq!(asked("Basic dXNlcjpldA=="), Err(Refusal::TokenRequired), "user:et");
}

#[test]
fn another_user_of_the_machine_needs_the_token_or_a_setting() {
    let other = Endpoints { owner: Owner::Other(1001), ..Endpoints::default() };
    let request = || parts(Request::builder().uri("/a").header("host", "localhost"));
    let with_token = parts(
        Request::builder().uri("/a").header("host", "localhost").header("x-countersign-token", "s3cret"),
    );
    let token = Some(SecretString::from("s3cret"));
    let guarded = Guard::new(&GuardSettings { bearer_token: token, ..GuardSettings::default() });
    let open = Guard::new(&GuardSettings { allow_other_users: true, ..GuardSettings::default() });
    assert_eq!(guard().admit(&request(), &other), Err(Refusal::OtherUser));
    assert_eq!(guarded.admit(&request(), &other), Err(Refusal::TokenRequired));
    assert_eq!(guarded.admit(&with_token, &other), Ok(plain()));
    assert_eq!(open.admit(&request(), &other), Ok(plain()));
}

#[test]
fn connections_are_decided_about_by_their_owner_where_no_token_is_asked_for() {
    let guarded =
        Guard::new(&GuardSettings { bearer_token: Some("s3cret".into()), ..GuardSettings::default() });
    let open = Guard::new(&GuardSettings { allow_other_users: true, ..GuardSettings::default() });
    for (owner, decision) in [
        (Owner::Own, Ok(())),
        (Owner::OnThisMachine, Ok(())),
        (Owner::Remote, Ok(())),
        (Owner::Other(1001), Err(Refusal::OtherUser)),
        (Owner::Gone, Err(Refusal::UnknownUser)),
        (Owner::Unknown, Err(Refusal::UnknownUser)),
    ] {
        assert_eq!(guard().admit_owner(owner), decision);
        assert_eq!((guarded.admit_owner(owner), open.admit_owner(owner)), (Ok(()), Ok(())), "{owner:?}");
    }
}

#[test]
fn all_but_subresources_are_recognised_as_documents() {
    for (destination, document) in [
        ("document", true),
        ("iframe", true),
        ("frame", true),
        ("object", true),
        ("embed", true),
        ("fencedframe", true),
        ("serviceworker", true),
        ("sharedworker", true),
        ("worker", true),
        ("unheard-of", true),
        ("empty", false),
        ("image", false),
        ("script", false),
    ] {
        let admitted =
            asked(&[("sec-fetch-site", "none"), ("sec-fetch-dest", destination)]).expect("admitted");
        assert_eq!(admitted.document, document, "{destination}");
    }
}

#[test]
fn requests_that_are_not_http_are_refused() {
    let malformed = |headers: &[(&str, &str)]| matches!(asked(headers), Err(Refusal::Malformed(_)));
    assert!(malformed(&[("host", "a"), ("host", "a")]));
    assert!(malformed(&[("host", "user@localhost")]));
    assert_eq!(asked(&[("expect", "200-ok")]), Err(Refusal::Expectation));
    assert_eq!(asked(&[("expect", "100-continue"), ("expect", "200-ok")]), Err(Refusal::Expectation));
    assert_eq!(asked(&[("upgrade", "h2c"), ("expect", "100-Continue")]), Ok(plain()));
    for method in ["CONNECT", "TRACE"] {
        assert_eq!(asked_of(&guard(), method, &[]), Err(Refusal::Method));
    }
}

#[test]
fn an_absolute_target_must_agree_with_host() {
    let admit = |uri: &str, host: &str| {
        guard().admit(&parts(Request::builder().uri(uri).header("host", host)), &own())
    };
    assert_eq!(admit("http://localhost:8181/a", "localhost:8181"), Ok(plain()));
    for (uri, host) in [
        ("http://evil.test/a", "localhost:8181"),
        ("https://localhost:8181/a", "localhost:8181"),
        ("http://user@localhost:8181/a", "localhost:8181"),
    ] {
        assert!(matches!(admit(uri, host), Err(Refusal::Malformed(_))), "{uri}");
    }
}

#[test]
fn http_1_0_needs_no_host_unless_a_browser_speaks_it() {
    let admit = |request: http::request::Builder| {
        guard().admit(&parts(request.uri("/a").version(http::Version::HTTP_10)), &own())
    };
    assert_eq!(admit(Request::builder()), Ok(plain()));
    for (name, value) in [("origin", DEV), ("referer", "http://localhost:5173/"), ("sec-fetch-site", "none")]
    {
        let admitted = admit(Request::builder().header(name, value));
        assert!(matches!(admitted, Err(Refusal::Malformed(_))), "{name}: {admitted:?}");
    }
}

#[test]
fn a_handshake_names_no_page_or_one_that_may_call_the_proxy() {
    let asked = |fields: &[(&str, &str)]| guard().admit(&offering(fields), &own()).map(drop);
    for sound in [
        &[][..],
        &[("origin", "http://localhost:8181")],
        &[("origin", "HTTP://LOCALHOST:8181")],
        &[("origin", DEV)],
        &[("origin", DEV), ("sec-fetch-site", "cross-site")],
        &[("origin", "http://localhost:8181"), ("sec-fetch-site", "same-origin")],
    ] {
        assert_eq!(asked(sound), Ok(()), "{sound:?}");
    }
    for (origin, site) in [
        ("null", None),
        ("null", Some("same-origin")),
        ("", None),
        ("http://evil.test", None),
        ("http://evil.test", Some("same-origin")),
        ("http://evil.test", Some("none")),
        ("http://localhost:8182", Some("same-site")),
        ("http://localhost:8182", Some("same-origin")),
        ("https://localhost:8181", None),
        ("ws://localhost:8181", None),
        ("http://localhost:8181.evil.test", None),
        ("http://localhost:5173/", None),
        ("http://localhost:8181, http://evil.test", None),
        ("file://", None),
        ("chrome-extension://abcdefgh", None),
    ] {
        let mut fields = vec![("origin", origin)];
        fields.extend(site.map(|site| ("sec-fetch-site", site)));
        assert!(matches!(asked(&fields), Err(Refusal::CrossSite { .. })), "{fields:?}");
    }
}

#[test]
fn where_there_are_no_websockets_a_handshake_is_refused() {
    assert_eq!(guard().check(&offering(&[]), &own()), Err(Refusal::Upgrade));
}
