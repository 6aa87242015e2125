//! Forward proxies between the proxy and its upstream.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use countersign::{
    aws_http,
    clock::Clock,
    forward_proxy::{Exception, Hosts},
    proxy::Resolver,
};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    problem,
    support::{
        Running, Setup,
        forward_proxy::{Does, ForwardProxy, through},
        tls::{Authority, fine_over_tls, names},
    },
};

/// An upstream at https://api.test.
struct Api {
    authority: Authority,
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

async fn api() -> Api {
    let authority = Authority::new();
    let (address, accepting) = fine_over_tls(authority.server(&names(&["api.test", "proxy.test"]))).await;
    Api { authority, address, _accepting: accepting }
}

/// A proxy in front of https://api.test, which only a forward proxy at this port of proxy.test reaches.
async fn behind(authority: &Authority, secure: bool, port: u16, exceptions: Vec<Exception>) -> Running {
    Setup::new()
        .upstream("https://api.test/prod")
        .trusting(authority)
        .proxy(move |settings| {
            settings.proxy.timeouts.connect = Duration::from_millis(500);
            settings.proxy.forward_proxies = through(secure, port, exceptions);
            settings.proxy.resolver = Resolver::new(|name| match name {
                "proxy.test" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
                other => Err(io::Error::other(format!("{other} was looked up"))),
            });
        })
        .start()
        .await
}

/// `CONNECT` with the password of the settings, `me:p@w`.
fn assert_connect(head: &str) {
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("CONNECT api.test:443 HTTP/1.1"), "{head}");
    let fields: Vec<String> = lines.map(str::to_ascii_lowercase).collect();
    for field in ["host: api.test:443", "proxy-authorization: basic bwu6ceb3"] {
        assert!(fields.iter().any(|line| line == field), "{field} is not in {head}");
    }
}

#[tokio::test]
async fn requests_reach_the_upstream_through_a_proxy_which_looks_its_name_up() {
    let api = api().await;
    let proxy = ForwardProxy::start(Does::Tunnel(api.address), None).await;
    let running = behind(&api.authority, false, proxy.port(), Vec::new()).await;
    for _ in 0..2 {
        assert_eq!(running.proxy.get("/x").await.text(), "fine");
    }
    for head in proxy.heads() {
        assert_connect(&head);
    }
    assert_eq!(proxy.heads().len(), 2);
}

#[tokio::test]
async fn a_proxy_that_is_named_with_https_gets_its_password_over_tls_only() {
    let api = api().await;
    let acceptor = api.authority.server(&names(&["proxy.test"]));
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(acceptor));
    let proxy = ForwardProxy::start(Does::Tunnel(api.address), Some(acceptor)).await;
    let running = behind(&api.authority, true, proxy.port(), Vec::new()).await;
    assert_eq!(running.proxy.get("/x").await.text(), "fine");
    assert_connect(&proxy.heads()[0]);

    let plain = ForwardProxy::start(Does::Tunnel(api.address), None).await;
    let running = behind(&api.authority, true, plain.port(), Vec::new()).await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.status, 504, "a proxy that waits for a head gets none: {}", answer.text());
    assert!(plain.heads().is_empty());
}

#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_is_named_as_the_cause() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nobodys_port = nobody.local_addr().expect("an address").port();
    drop(nobody);
    let refused = problem(502, "upstream-refused", "connection_refused");
    let protocol = problem(502, "upstream-protocol", "http_protocol_error");
    let closed = problem(502, "upstream-closed", "connection_terminated");
    let late = problem(504, "upstream-timeout", "connection_timeout");
    for (does, expected, cause, asked) in [
        (None, refused.clone(), "could not be connected to", 0),
        (
            Some(Does::Say("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno")),
            refused.clone(),
            "demands a user name and a password",
            1,
        ),
        (Some(Does::Say("HTTP/1.1 403 Forbidden\r\n\r\n")), refused.clone(), "403 Forbidden", 1),
        (Some(Does::Say("HTTP/1.1 502 Bad Gateway\r\n\r\n")), refused, "502 Bad Gateway", 3),
        (Some(Does::Say("220 mail ready\r\n\r\n")), protocol.clone(), "valid HTTP", 1),
        (Some(Does::Say("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n")), protocol, "valid HTTP", 1),
        (Some(Does::Say("")), closed.clone(), "closed the connection", 3),
        (Some(Does::Say("HTTP/1.1 200 O")), closed, "closed the connection", 3),
        (Some(Does::Nothing), late, "did not answer in time", 3),
    ] {
        let authority = Authority::new();
        let proxy = match does {
            Some(does) => Some(ForwardProxy::start(does, None).await),
            None => None,
        };
        let port = proxy.as_ref().map_or(nobodys_port, ForwardProxy::port);
        let running = behind(&authority, false, port, Vec::new()).await;
        let answer = running.proxy.get("/x").await;
        assert_eq!(answer.problem(), expected, "{cause}: {}", answer.text());
        let detail = answer.json()["detail"].as_str().expect("text").to_owned();
        let named = format!("The proxy proxy.test:{port}, which HTTPS_PROXY names,");
        assert!(detail.starts_with(&named) && detail.contains(cause), "{cause}: {detail}");
        assert!(!detail.contains("p@w") && !detail.contains("p%40w"), "{detail}");
        assert_eq!(proxy.map_or(0, |proxy| proxy.heads().len()), asked, "{cause}");
    }
}

#[tokio::test]
async fn a_proxy_whose_name_or_certificate_is_wrong_is_named_as_the_cause() {
    let (api, stranger) = (api().await, Authority::new());
    let acceptor = stranger.acceptor(&["http/1.1"]);
    let proxy = ForwardProxy::start(Does::Tunnel(api.address), Some(acceptor)).await;
    let running = behind(&api.authority, true, proxy.port(), Vec::new()).await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(502, "upstream-tls", "tls_certificate_error"));
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains(&format!("proxy.test:{}", proxy.port())), "{detail}");
    assert!(proxy.heads().is_empty());

    let running = Setup::new()
        .upstream("https://api.test/prod")
        .proxy(|settings| {
            settings.proxy.forward_proxies = through(false, 3128, Vec::new());
            settings.proxy.resolver = Resolver::new(|_| Err(io::Error::other("no such name")));
        })
        .start()
        .await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(502, "upstream-dns", "dns_error"));
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("proxy.test:3128"), "{detail}");
}

#[tokio::test]
async fn exceptions_and_loopback_are_reached_directly() {
    let authority = Authority::new();
    let proxy = ForwardProxy::start(Does::Say("HTTP/1.1 403 Forbidden\r\n\r\n"), None).await;
    let exception = Exception { hosts: Hosts::Domain("api.test".to_owned()), port: Some(443) };
    let running = behind(&authority, false, proxy.port(), vec![exception]).await;
    assert_eq!(running.proxy.get("/x").await.problem(), problem(502, "upstream-dns", "dns_error"));

    let (address, _accepting) = fine_over_tls(authority.server(&names(&["127.0.0.1"]))).await;
    let (roots, port) = (authority.file(), proxy.port());
    let running = Setup::new()
        .upstream(format!("https://{address}"))
        .proxy(move |settings| {
            settings.proxy.ca_files = vec![roots];
            settings.proxy.forward_proxies = through(false, port, Vec::new());
        })
        .start()
        .await;
    assert_eq!(running.proxy.get("/x").await.text(), "fine");
    assert!(proxy.heads().is_empty());
}

#[tokio::test]
async fn the_way_to_aws_follows_the_same_rules() {
    let api = api().await;
    for secure in [false, true] {
        let acceptor = secure.then(|| {
            let config = api.authority.server(&names(&["localhost"]));
            tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config))
        });
        let proxy = ForwardProxy::start(Does::Tunnel(api.address), acceptor).await;
        let ask = async |url: &str, exceptions: Vec<Exception>| {
            let mut proxies = through(secure, proxy.port(), exceptions.clone());
            let mut settings = (**proxies.proxy().expect("a proxy")).clone();
            settings.host = "localhost".to_owned();
            proxies = countersign::forward_proxy::ForwardProxies::new(settings, exceptions);
            let ca_files = vec![api.authority.file()];
            let settings = aws_http::Settings { ca_files, proxies, ..aws_http::Settings::default() };
            let connector = aws_http::connector(&settings, Clock::system()).expect("roots");
            let answer = connector.call(HttpRequest::get(url).expect("a request"));
            answer.await.map(|answer| answer.status().as_u16())
        };
        let exception = |port| vec![Exception { hosts: Hosts::Domain("test".to_owned()), port: Some(port) }];
        assert_eq!(ask("https://api.test/x", Vec::new()).await.expect("an answer"), 200);
        assert_eq!(ask("https://api.test/x", exception(8443)).await.expect("an answer"), 200);
        for head in proxy.heads() {
            assert_connect(&head);
        }
        // Longer than a label may be, so that no name server is asked.
        let unknown = format!("https://{}.test/x", "x".repeat(64));
        let direct = ask(&unknown, exception(443)).await.expect_err("there is no such name");
        assert!(!countersign::telemetry::causes(&direct).contains("proxy"), "{direct:?}");
        assert_eq!(proxy.heads().len(), 2, "it was looked for directly");
    }
}

#[tokio::test]
async fn a_proxy_on_the_way_to_aws_is_named_when_there_is_no_answer() {
    let authority = Authority::new();
    let proxy = ForwardProxy::start(Does::Say("HTTP/1.1 407 Who are you?\r\n\r\n"), None).await;
    let mut settings = (**through(false, proxy.port(), Vec::new()).proxy().expect("a proxy")).clone();
    settings.host = "localhost".to_owned();
    let proxies = countersign::forward_proxy::ForwardProxies::new(settings, Vec::new());
    let ca_files = vec![authority.file()];
    let settings = aws_http::Settings { ca_files, proxies, ..aws_http::Settings::default() };
    let connector = aws_http::connector(&settings, Clock::system()).expect("roots");
    let error = connector.call(HttpRequest::get("https://api.test/x").expect("a request")).await;
    let causes = countersign::telemetry::causes(&error.expect_err("no tunnel"));
    let named = format!("no response through the proxy localhost:{} (HTTPS_PROXY): ", proxy.port());
    assert!(causes.starts_with(&named) && causes.contains("authorization"), "{causes}");
    assert!(!causes.contains("p%40w"), "{causes}");
}
