//! What services other than API Gateway ask of the proxy: buckets in hosts, errors that their SDKs can read, and more
//! than one signing name at one host.
#![cfg(feature = "sandbox")]

mod support;

use countersign::proxy::{GuardSettings, PayloadSigning, RouteSettings, WebsocketSigning};
use http::HeaderValue;
use support::{
    Answer, Running, Setup,
    http::request,
    upstream::{FINE, Upstream},
};

/// An upstream that answers every request with `answer`.
async fn upstream(answer: &'static [u8]) -> Upstream {
    Upstream::start(move |_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(answer).await;
        }
    })
    .await
}

/// A route below `path` to `upstream`, signed for `service` under the host `sign_host`.
fn route(path: &str, upstream: &str, service: &str, sign_host: &str) -> RouteSettings {
    RouteSettings {
        path: path.to_owned(),
        upstream: upstream.parse().expect("a URL"),
        region: "eu-west-1".into(),
        service: service.to_owned(),
        sign_host: Some(sign_host.to_owned()).filter(|host| !host.is_empty()),
        strip_prefix: None,
        set_headers: Vec::new(),
        payload: PayloadSigning::Hashed,
        websocket_signing: WebsocketSigning::Headers,
    }
}

async fn proxy(routes: Vec<RouteSettings>) -> Running {
    Setup::new().proxy(|settings| settings.proxy.routes = routes).start().await
}

async fn send(running: &Running, method: &str, host: &str, path: &str) -> Answer {
    let mut request = request(method, path, "");
    request.headers_mut().insert("host", HeaderValue::from_str(host).expect("a value"));
    running.proxy.send(request).await
}

/// The target that reaches `upstream` for a request, or the status and text of the refusal.
async fn target(running: &Running, upstream: &Upstream, host: &str, path: &str) -> Result<String, String> {
    let before = upstream.requests().len();
    let answer = send(running, "DELETE", host, path).await;
    match upstream.requests().get(before) {
        Some(request) => Ok(request.split(' ').nth(1).expect("a target").to_owned()),
        None => Err(format!("{} {}", answer.status.as_u16(), answer.text())),
    }
}

/// Asserts what becomes of a request; a refusal is 400 and has these words in its text.
async fn assert_target(
    running: &Running,
    upstream: &Upstream,
    (host, path): (&str, &str),
    expected: Result<&str, &str>,
) {
    let found = target(running, upstream, host, path).await;
    match (found, expected) {
        (Err(text), Err(words)) => {
            assert!(text.starts_with("400 ") && text.contains(words), "{host} {path}: {text}");
        }
        (found, expected) => {
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{host} {path}");
        }
    }
}

#[tokio::test]
async fn a_bucket_in_the_host_goes_to_the_front_of_the_path() {
    let upstream = upstream(FINE).await;
    let running = proxy(vec![route("/", &upstream.url(), "s3", "s3.eu-west-1.amazonaws.com")]).await;
    for (host, path, expected) in [
        ("photos.localhost:8181", "/2026/a%20b.jpg?versionId=7", Ok("/photos/2026/a%20b.jpg?versionId=7")),
        ("photos.localhost", "/", Ok("/photos/")),
        ("photos.localhost", "/?list-type=2", Ok("/photos/?list-type=2")),
        ("photos.localhost", "//a//b", Ok("/photos//a//b")),
        ("photos.LOCALHOST", "/photos", Ok("/photos/photos")),
        ("my.photos.localhost", "/a", Ok("/my.photos/a")),
        ("localhost:8181", "/photos/a", Ok("/photos/a")),
        ("s3.localhost:8181", "/photos/a", Ok("/photos/a")),
        ("127.0.0.1", "/photos/a", Ok("/photos/a")),
        ("photos.localhost", "/a/../b", Ok("/photos/a/../b")),
        ("photos.localhost", "/a/.../..b", Ok("/photos/a/.../..b")),
        ("photos.localhost", "/../other/a", Err("\"..\" in the path")),
        ("photos.localhost", "/%2e%2E", Err("\"..\" in the path")),
        ("photos.localhost", "/a%2F..%2f../b", Err("\"..\" in the path")),
        ("photos.localhost", "//./..", Err("\"..\" in the path")),
        ("localhost", "/photos/../other", Ok("/photos/../other")),
        ("s3.eu-west-1.localhost", "/photos", Err("addressing_style")),
        ("photos.s3.eu-west-1.localhost", "/a", Err("addressing_style")),
        ("Photos.localhost", "/a", Err("\"Photos\" is not certain")),
        ("ab.localhost", "/photos/a", Err("addressing_style")),
        ("my_photos.localhost", "/a", Err("forcePathStyle")),
        ("photos.s3.localhost", "/a", Err("addressing_style")),
        ("10.0.0.1.localhost", "/a", Err("addressing_style")),
    ] {
        assert_target(&running, &upstream, (host, path), expected).await;
    }
    let mut client = running.proxy.connect().await;
    client.write("DELETE http://photos.localhost/a HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    let sent = upstream.requests().pop().expect("a request");
    assert!(sent.starts_with("DELETE /photos/a HTTP/1.1\r\n"), "{sent}");
}

#[tokio::test]
async fn an_upstream_that_stands_for_one_resource_gets_no_other_bucket() {
    let upstream = upstream(FINE).await;
    for (service, sign_host, base, host, expected) in [
        ("s3", "photos.s3.eu-west-1.amazonaws.com", "", "photos.localhost", Ok("/a")),
        ("s3", "photos.s3.eu-west-1.amazonaws.com", "", "other.localhost", Err("that of")),
        ("s3", "my.photos.s3.eu-west-1.amazonaws.com", "", "photos.localhost", Err("that of")),
        ("s3", "photos.s3.eu-west-1.amazonaws.com", "", "localhost", Ok("/a")),
        ("s3", "s3.eu-west-1.amazonaws.com", "/photos", "photos.localhost", Ok("/photos/a")),
        ("s3", "s3.eu-west-1.amazonaws.com", "/photos", "other.localhost", Err("that of")),
        ("s3", "minio.example.com", "/photos", "photos.localhost", Err("has a path")),
        ("s3", "minio.example.com", "", "photos.localhost", Ok("/photos/a")),
        ("s3", "", "", "photos.localhost", Ok("/photos/a")),
        (
            "s3",
            "ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com",
            "",
            "photos.localhost",
            Err("that of"),
        ),
        ("s3", "123456789012.s3-control.eu-west-1.amazonaws.com", "", "123456789012.localhost", Ok("/a")),
        (
            "s3",
            "123456789012.s3-control.eu-west-1.amazonaws.com",
            "",
            "210987654321.localhost",
            Err("that of"),
        ),
        ("s3express", "s3express-control.eu-west-1.amazonaws.com", "", "photos.localhost", Err("no bucket")),
        ("s3control", "", "", "photos.localhost", Err("no bucket")),
        ("s3control", "", "", "123456789012.localhost", Ok("/a")),
        ("execute-api", "", "", "photos.localhost", Ok("/a")),
        ("dynamodb", "dynamodb.eu-west-1.amazonaws.com", "", "photos.localhost", Ok("/a")),
        ("s3tables", "s3tables.eu-west-1.amazonaws.com", "", "photos.localhost", Ok("/a")),
    ] {
        let url = format!("{}{base}", upstream.url());
        let running = proxy(vec![route("/", &url, service, sign_host)]).await;
        assert_target(&running, &upstream, (host, "/a"), expected).await;
    }
}

#[tokio::test]
async fn a_bucket_in_the_host_never_selects_another_route_than_path_style_does() {
    let (s3, api) = (upstream(FINE).await, upstream(FINE).await);
    let stripped = RouteSettings {
        strip_prefix: Some("/s3".to_owned()),
        ..route("/s3", &s3.url(), "s3", "s3.eu-west-1.amazonaws.com")
    };
    let bucket = |path| route(path, &s3.url(), "s3", "s3.eu-west-1.amazonaws.com");
    let orders = route("/orders", &api.url(), "execute-api", "");

    let running = proxy(vec![stripped, route("/", &api.url(), "execute-api", "")]).await;
    assert_target(&running, &s3, ("photos.localhost", "/s3/a"), Ok("/photos/a")).await;
    assert_target(&running, &s3, ("photos.localhost", "/s3"), Ok("/photos/")).await;
    assert_target(&running, &api, ("photos.localhost", "/a"), Ok("/a")).await;

    let running = proxy(vec![bucket("/"), orders.clone()]).await;
    assert_target(&running, &s3, ("photos.localhost", "/a"), Ok("/photos/a")).await;
    assert_target(&running, &s3, ("photos.localhost", "/orders/x"), Err("another route")).await;
    assert_target(&running, &s3, ("orders.localhost", "/a"), Err("another route")).await;
    assert_target(&running, &api, ("localhost", "/orders/x"), Ok("/orders/x")).await;
    assert_target(&running, &api, ("ab.localhost", "/orders/x"), Ok("/orders/x")).await;
    assert!(api.requests().iter().all(|request| !request.contains("photos")), "{:?}", api.requests());

    let running = proxy(vec![bucket("/photos"), orders]).await;
    assert_target(&running, &s3, ("photos.localhost", "/a"), Ok("/photos/a")).await;
    assert_eq!(send(&running, "DELETE", "other.localhost", "/a").await.status, 404);
    assert_target(&running, &s3, ("other.localhost", "/photos/a"), Err("another route")).await;
}

#[tokio::test]
async fn clients_with_a_bucket_in_the_host_read_xml_whatever_the_path_alone_fits() {
    let routes = vec![
        route("/photos", "http://127.0.0.1:1", "s3", "s3.eu-west-1.amazonaws.com"),
        route("/", "http://127.0.0.1:1", "execute-api", ""),
    ];
    let running = proxy(routes[..1].to_vec()).await;
    let answer = send(&running, "GET", "photos.localhost", "/a").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (502, "application/xml"));
    let running = proxy(routes).await;
    for (host, path, status, content_type) in [
        ("photos.localhost", "/a", 400, "application/xml"),
        ("other.localhost", "/a", 502, "application/problem+json"),
        ("localhost", "/photos/a", 502, "application/xml"),
    ] {
        let answer = send(&running, "GET", host, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (status, content_type),
            "{host} {path}"
        );
    }
}

#[tokio::test]
async fn a_name_that_allow_host_has_is_the_proxys_and_no_bucket() {
    let upstream = upstream(FINE).await;
    let s3 = route("/", &upstream.url(), "s3", "s3.eu-west-1.amazonaws.com");
    let hosts = ["store.localhost", "proxy", "photos.proxy"].map(str::to_owned).to_vec();
    let running = Setup::new()
        .proxy(|settings| {
            settings.proxy.routes = vec![s3];
            settings.proxy.guard = GuardSettings { allowed_hosts: hosts, ..GuardSettings::default() };
        })
        .start()
        .await;
    assert_target(&running, &upstream, ("store.localhost:1", "/photos/a"), Ok("/photos/a")).await;
    assert_target(&running, &upstream, ("photos.localhost:1", "/a"), Ok("/photos/a")).await;
    assert_target(&running, &upstream, ("proxy:1", "/photos/a"), Ok("/photos/a")).await;
    // The refusal of a name says how to allow it. For a client without path style the name has a bucket in it.
    assert_target(&running, &upstream, ("photos.store.localhost", "/a"), Err("is not certain")).await;
    assert_target(&running, &upstream, ("photos.proxy", "/a"), Err("is not certain")).await;
}

#[tokio::test]
async fn redirects_lead_back_to_the_bucket_in_the_host() {
    const REDIRECTS: [(&str, &[u8]); 5] = [
        ("/b", b"HTTP/1.1 307 T\r\nlocation: /photos/b\r\ncontent-length: 0\r\n\r\n"),
        ("/", b"HTTP/1.1 200 OK\r\nlocation: /photos\r\ncontent-length: 0\r\n\r\n"),
        (
            "http://photos.localhost:8181/b?c",
            b"HTTP/1.1 307 T\r\nlocation: http://s3.example/photos/b?c\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "http://localhost:8181/other/b",
            b"HTTP/1.1 307 T\r\nlocation: /other/b\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "http://elsewhere.example/photos/b",
            b"HTTP/1.1 307 T\r\nlocation: http://elsewhere.example/photos/b\r\ncontent-length: 0\r\n\r\n",
        ),
    ];
    for (expected, answer) in REDIRECTS {
        let upstream = upstream(answer).await;
        let running = proxy(vec![route("/", &upstream.url(), "s3", "s3.example")]).await;
        let answer = send(&running, "GET", "photos.localhost:8181", "/a").await;
        assert_eq!(answer.header("location"), expected);
    }
}

/// A proxy whose upstream cannot be reached, and that signs for `service` under `sign_host`.
async fn unreachable(service: &str, sign_host: &str) -> Running {
    proxy(vec![route("/", "http://127.0.0.1:1", service, sign_host)]).await
}

#[tokio::test]
async fn errors_have_the_form_that_clients_of_the_service_read() {
    const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    const MESSAGE: &str = "<Code>upstream-refused</Code><Message>";
    let (json, problem, xml) = ("application/json", "application/problem+json", "application/xml");
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    for (service, sign_host, sent, content_type, start) in [
        ("s3", "s3.eu-west-1.amazonaws.com", xml, xml, format!("{XML}<Error>{MESSAGE}")),
        ("s3", "", form, xml, format!("{XML}<Error>{MESSAGE}")),
        (
            "s3",
            "1.s3-control.eu-west-1.amazonaws.com",
            xml,
            xml,
            format!("{XML}<ErrorResponse><Error><Type>Receiver</Type>{MESSAGE}"),
        ),
        (
            "route53",
            "route53.amazonaws.com",
            xml,
            xml,
            format!("{XML}<ErrorResponse><Error><Type>Receiver</Type>{MESSAGE}"),
        ),
        ("sns", "", form, xml, format!("{XML}<ErrorResponse><Error><Type>Receiver</Type>{MESSAGE}")),
        ("sqs", "", form, xml, format!("{XML}<ErrorResponse><Error><Type>Receiver</Type>{MESSAGE}")),
        ("ses", "", form, xml, format!("{XML}<ErrorResponse><Error><Type>Receiver</Type>{MESSAGE}")),
        ("ec2", "", form, xml, format!("{XML}<Response><Errors><Error>{MESSAGE}")),
        ("ses", "", json, problem, "{\"__type\":\"upstream-refused\",\"type\":\"urn:countersign:".to_owned()),
        ("sqs", "", json, problem, "{\"__type\":\"upstream-refused\",\"type\":\"urn:countersign:".to_owned()),
        ("execute-api", "", json, problem, "{\"type\":\"urn:countersign:upstream-refused\"".to_owned()),
        (
            "lambda",
            "a.lambda-url.eu-west-1.on.aws",
            json,
            problem,
            "{\"type\":\"urn:countersign:upstream-refused\"".to_owned(),
        ),
        ("service-of-tomorrow", "", form, problem, "{\"type\":\"urn:countersign:".to_owned()),
    ] {
        let running = unreachable(service, sign_host).await;
        let mut post = request("POST", "/x", "a");
        post.headers_mut().insert("content-type", HeaderValue::from_str(sent).expect("a value"));
        let answer = running.proxy.send(post).await;
        assert_eq!(answer.status, 502, "{service}");
        assert_eq!(answer.header("content-type"), content_type, "{service}");
        assert_eq!(answer.header("proxy-status"), "countersign; error=connection_refused", "{service}");
        assert!(answer.text().starts_with(&start), "{service}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_client_that_speaks_cbor_gets_its_error_in_it() {
    let running = unreachable("monitoring", "monitoring.eu-west-1.amazonaws.com").await;
    let mut post = request("POST", "/service/GraniteServiceVersion20100801/operation/ListMetrics", "");
    post.headers_mut().insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
    post.headers_mut().insert("x-request-id", HeaderValue::from_static("the-one"));
    let answer = running.proxy.send(post).await;
    assert_eq!(answer.header("content-type"), "application/cbor");
    assert_eq!(answer.header("smithy-protocol"), "rpc-v2-cbor");
    let entries = b"\xa4\x66__type\x70upstream-refused\x67message\x78";
    assert!(answer.body.starts_with(entries), "{:?}", answer.body);
    assert!(answer.body.ends_with(b"\x6arequest_id\x67the-one"), "{:?}", answer.body);
}

#[tokio::test]
async fn refusals_have_the_form_of_the_route_that_the_path_names() {
    let routes = vec![
        route("/s3", "http://127.0.0.1:1", "s3", ""),
        route("/api", "http://127.0.0.1:1", "execute-api", ""),
    ];
    let running = proxy(routes).await;
    let refused = send(&running, "GET", "<evil>.test", "/s3/a").await;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (400, "application/xml"));
    let refused = send(&running, "GET", "evil.test", "/s3/a").await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("<Error><Code>host-not-allowed</Code><Message>The proxy"),
        "{}",
        refused.text()
    );
    assert_eq!(send(&running, "GET", "evil.test", "/api/a").await.problem().1, "host-not-allowed");
    assert_eq!(send(&running, "GET", "localhost", "/elsewhere").await.problem().1, "no-route");
    let head = send(&running, "HEAD", "localhost", "/s3/a").await;
    assert_eq!((head.status.as_u16(), head.text().as_str()), (502, ""));
    assert_eq!(head.header("content-type"), "application/xml");
}

#[tokio::test]
async fn version_2_of_amazon_location_is_signed_for_under_its_own_name() {
    let upstream = upstream(FINE).await;
    for (host, path, name) in [
        ("maps.geo.eu-west-1.amazonaws.com", "/v2/tiles/a/1/2/3", "geo-maps"),
        ("maps.geo.eu-west-1.amazonaws.com", "/maps/v0/maps/a/style-descriptor", "geo"),
        ("places.geo.eu-west-1.amazonaws.com", "/v2/geocode", "geo-places"),
        ("routes.geo.eu-west-1.amazonaws.com", "/v2/isolines", "geo-routes"),
    ] {
        let running = proxy(vec![route("/", &upstream.url(), "geo", host)]).await;
        assert_eq!(send(&running, "GET", "localhost", path).await.status, 200);
        let sent = upstream.requests().pop().expect("a request");
        assert!(sent.contains(&format!("/eu-west-1/{name}/aws4_request, ")), "{host}{path}\n{sent}");
    }
}
