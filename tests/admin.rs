//! The admin listener, and how the process ends.
#![cfg(feature = "sandbox")]

mod support;

use std::{sync::Arc, time::Duration};

use countersign::{downstream::listener::Listen, sandbox::Fault, signing::SigningRegion};
use http::HeaderValue;
use support::{
    Connection, Setup,
    http::{get, request},
    soon, start,
    upstream::{FINE, Upstream},
};
use tokio::{net::TcpStream, sync::Notify};

#[tokio::test]
async fn probes_say_alive_started_and_ready_under_all_their_names() {
    let running = start().await;
    for path in ["/livez", "/healthz", "/liveness", "/readyz", "/readiness", "/startupz", "/startup"] {
        let answer = running.proxy.admin(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    assert_eq!(running.proxy.admin("/readyz").await.json()["ready"], true);
    assert_eq!(running.proxy.admin("/unknown").await.status, 404);
    assert_eq!(running.proxy.ask_admin(request("POST", "/readyz", "")).await.status, 405);
}

#[tokio::test]
async fn before_the_first_credentials_only_livez_succeeds() {
    let running = Setup::new()
        .faults(|faults| faults.always("InitiateAuth", Fault::Hang))
        .without_waiting()
        .start()
        .await;
    assert_eq!(running.proxy.admin("/livez").await.status, 200);
    assert_eq!(running.proxy.admin("/startupz").await.status, 503);
    let ready = running.proxy.admin("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.header("cache-control")), (503, "no-store"));
    assert_eq!(ready.json()["reasons"][0]["code"], "credentials-pending");
}

#[tokio::test]
async fn nothing_of_it_is_on_the_data_port() {
    let running = start().await;
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        let answer = running.proxy.get(path).await;
        assert_eq!(answer.json()["path"], path, "the API's own");
    }
    let answer = running.proxy.send(request("POST", "/quitquitquit", "")).await;
    assert_eq!(answer.json()["path"], "/quitquitquit");
    assert_eq!(running.proxy.get("/x").await.status, 200);
}

#[tokio::test]
async fn the_host_is_checked_there_as_well() {
    let running = start().await;
    for path in ["/status", "/metrics", "/livez"] {
        let mut request = get(path);
        request.headers_mut().insert("host", HeaderValue::from_static("evil.example"));
        let answer = running.proxy.ask_admin(request).await;
        assert_eq!(answer.problem().1, "host-not-allowed", "{path}");
    }
    let mut request = request("POST", "/quitquitquit", "");
    request.headers_mut().insert("origin", HeaderValue::from_static("https://evil.example"));
    assert_eq!(running.proxy.ask_admin(request).await.problem().1, "cross-site");
    assert_eq!(running.proxy.get("/x").await.status, 200);
}

#[tokio::test]
async fn status_shows_a_set_of_regions_in_place_of_the_region() {
    let set = || SigningRegion::Set("us-*".parse().expect("a set of regions"));
    let running = Setup::new().proxy(move |settings| settings.proxy.routes[0].region = set()).start().await;
    let route = &running.proxy.admin("/status").await.json()["routes"][0];
    assert_eq!((&route["region_set"], route.get("region")), (&"us-*".into(), None));
}

#[tokio::test]
async fn status_tells_who_signs_where_and_how_long() {
    let running = start().await;
    let status = running.proxy.admin("/status").await.json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["listen"], format!("http://{}", running.proxy.address));
    assert_eq!(status["admin_listen"], format!("http://{}", running.proxy.admin));
    let route = &status["routes"][0];
    assert_eq!((&route["path"], &route["service"]), (&"/".into(), &"execute-api".into()));
    assert_eq!(route["upstream"], running.sandbox.api_url());
    assert_eq!(route["region"], running.sandbox.region());
    assert_eq!((&status["ready"], &status["draining"]), (&true.into(), &false.into()));
    assert_eq!(status["identity"]["username"], "demo");
    let credentials = &status["credentials"];
    assert!(credentials["expires_in"].as_u64().is_some_and(|left| (3_500..=3_600).contains(&left)));
    assert!(credentials["expiry"].as_str().is_some_and(|text| text.ends_with('Z')));
    assert!(credentials["last_refresh"].is_string() && credentials["last_error"].is_null());
    assert_eq!((&credentials["refreshes"], &credentials["failures"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn metrics_count_what_happens_with_bounded_labels() {
    let running = start().await;
    running.proxy.get("/one").await;
    running.proxy.send(request("POST", "/status/500", "")).await;
    running.proxy.get("/x?X-Amz-Signature=0").await;
    let mut odd = get("/odd");
    *odd.method_mut() = http::Method::from_bytes(b"INVENTED").expect("a method");
    running.proxy.send(odd).await;
    for (labels, count) in [
        ("method=\"GET\",status=\"200\",origin=\"upstream\"", 1.0),
        ("method=\"POST\",status=\"500\",origin=\"upstream\"", 1.0),
        ("method=\"GET\",status=\"400\",origin=\"proxy\"", 1.0),
        ("method=\"other\",status=\"200\",origin=\"upstream\"", 1.0),
    ] {
        let name = format!("countersign_http_requests_total{{{labels}}}");
        assert_eq!(running.proxy.metric(&name).await, count, "{labels}");
    }
    let text = running.proxy.admin("/metrics").await.text();
    for name in [
        "countersign_http_request_duration_seconds_count",
        "countersign_signing_duration_seconds_count",
        "countersign_in_flight_requests",
        "countersign_body_memory_bytes",
        "countersign_credentials_expiry_timestamp_seconds",
        "countersign_credentials_refresh_total{outcome=",
        "countersign_clock_offset_seconds",
    ] {
        assert!(text.contains(&format!("\n{name}")), "{name} is not in\n{text}");
    }
    assert!(!text.contains("/one") && !text.contains("INVENTED"));
}

/// An upstream that answers when it is let, and a request that waits for it.
struct UnderWay {
    running: support::Running,
    client: Connection,
    release: Arc<Notify>,
    _upstream: Upstream,
}

async fn under_way(drain: Duration) -> UnderWay {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&arrived), Arc::clone(&release));
    let upstream = Upstream::start(move |_, mut wire| {
        let (arrived, release) = signals.clone();
        async move {
            wire.request().await;
            arrived.notify_one();
            release.notified().await;
            wire.write(FINE).await;
        }
    })
    .await;
    let running = Setup::new()
        .upstream(upstream.url())
        .proxy(move |settings| settings.proxy.timeouts.drain = drain)
        .start()
        .await;
    let mut client = running.proxy.connect().await;
    client.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    soon("the request", arrived.notified()).await;
    UnderWay { running, client, release, _upstream: upstream }
}

#[tokio::test]
async fn requests_in_flight_at_shutdown_finish_and_no_new_ones_begin() {
    let UnderWay { mut running, mut client, release, _upstream } = under_way(Duration::from_secs(25)).await;
    let mut resting = running.proxy.connect().await;
    let answer = running.proxy.ask_admin(request("POST", "/quitquitquit", "")).await;
    assert_eq!(answer.status, 200);
    soon("the resting connection to be closed", resting.is_closed()).await;
    let refused = TcpStream::connect(running.proxy.address).await;
    assert!(refused.is_err(), "new connections are refused");
    let ready = running.proxy.admin("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["reasons"][0]["code"]), (503, &"draining".into()));
    assert_eq!(running.proxy.admin("/livez").await.status, 200);
    release.notify_one();
    let (head, body) = client.answer().await;
    assert_eq!((head.status, &body[..]), (200, &b"fine"[..]));
    assert_eq!(head.field("connection"), Some("close"));
    running.proxy.ended().await;
}

#[tokio::test]
async fn requests_longer_than_the_drain_timeout_are_cut() {
    let UnderWay { mut running, mut client, release: _release, _upstream } =
        under_way(Duration::from_millis(100)).await;
    running.proxy.begin_shutdown();
    assert!(client.try_head().await.is_none(), "no answer was made up");
    running.proxy.ended().await;
}

#[tokio::test]
async fn quitting_is_asked_for_by_post_only() {
    let running = start().await;
    assert_eq!(running.proxy.admin("/quitquitquit").await.status, 405);
    assert_eq!(running.proxy.get("/x").await.status, 200);
}

#[tokio::test]
async fn localhost_is_both_loopback_addresses() {
    let running = Setup::new().proxy(|settings| settings.listen = Listen::Localhost(0)).start().await;
    let port = running.proxy.address.port();
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let mut connection = Connection::open(address.parse().expect("an address")).await;
        connection.write(format!("GET /x HTTP/1.1\r\nhost: {address}\r\n\r\n")).await;
        assert_eq!(connection.answer().await.0.status, 200, "{address}");
    }
}

#[tokio::test]
async fn without_an_admin_listener_the_proxy_serves_all_the_same() {
    let running = Setup::new().proxy(|settings| settings.admin_listen = None).start().await;
    assert_eq!(running.proxy.get("/x").await.status, 200);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_for_its_owner_and_goes_with_the_proxy() {
    use std::os::unix::fs::PermissionsExt;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("proxy.sock");
    let listen = Listen::Unix(path.clone());
    let mut running = Setup::new().proxy(move |settings| settings.listen = listen).start().await;
    let mode = std::fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    stream.write_all(b"GET /x HTTP/1.0\r\nhost: localhost\r\n\r\n").await.expect("an open connection");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("a clean end");
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    running.proxy.begin_shutdown();
    running.proxy.ended().await;
    assert!(!path.exists());
}
