//! The measured operations: typical requests with typical settings.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use bytes::Bytes;
use countersign::{
    clock::Clock,
    credentials::channel,
    downstream::listener::{Endpoints, Owner},
    forward_proxy::ForwardProxies,
    proxy::{
        Guard, GuardSettings, Limits, PayloadSigning, Resolver, RouteSettings, Settings, SigningClient,
        Timeouts, WebsocketSigning,
    },
    signing::{Encoding, Payload, Scope, Signer, Unsigned, WireHost, WireTarget},
    telemetry::metrics::Metrics,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request::Parts};

/// One piece of computation.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Prepares the input of one run.
    pub(crate) prepare: Box<dyn FnMut() -> Box<dyn FnOnce()>>,
}

const PATH: &str = "/orders/2026%2F07/caf%C3%A9/items";

const QUERY: &str = "limit=100&cursor=eyJpZCI6NDJ9&filter=state%3Dopen%20or%20late&sort=-created&tag=a&tag=b";

const FROM_A_PAGE: [(&str, &str); 14] = [
    ("host", "localhost:8181"),
    ("connection", "keep-alive"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("content-type", "application/json"),
    ("content-length", "1000"),
    ("origin", "http://localhost:5173"),
    ("referer", "http://localhost:5173/orders"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-site"),
    ("x-amz-meta-source", "web"),
];

/// All operations.
pub(crate) fn all() -> Vec<Operation> {
    vec![
        operation("target", target),
        operation("sign", || sign(Some(QUERY))),
        operation("sign-thirty-parameters", || sign(Some(&many_parameters()))),
        operation("plan", plan),
        operation("admit", admit),
    ]
}

fn operation<Run: FnOnce() + 'static, Prepare: FnMut() -> Run + 'static>(
    name: &'static str,
    start: impl FnOnce() -> Prepare,
) -> Operation {
    let mut prepare = start();
    Operation { name, prepare: Box::new(move || Box::new(prepare())) }
}

/// The wire target of a path and a query.
fn target() -> impl FnMut() -> Box<dyn FnOnce()> {
    || {
        Box::new(|| {
            black_box(wire_target(black_box(Some(QUERY))));
        })
    }
}

/// Canonical request, key from the cache, signature, headers; the body is hashed already.
fn sign(query: Option<&str>) -> impl FnMut() -> Box<dyn FnOnce()> + use<> {
    let signer = Arc::new(Signer::new(scope()));
    let request = Arc::new(Unsigned {
        method: Method::POST,
        target: wire_target(query),
        host: WireHost::new("abc123.execute-api.eu-west-1.amazonaws.com").expect("a host"),
        headers: headers(&FROM_A_PAGE[2..12]),
        payload: Payload::from(Bytes::from(vec![b'x'; 1_000])),
    });
    let credentials = credentials();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    move || {
        let (signer, request, credentials) = (Arc::clone(&signer), Arc::clone(&request), credentials.clone());
        Box::new(move || {
            black_box(signer.sign(black_box(&request), &credentials, time).expect("it can be signed"));
        })
    }
}

/// Route, wire target, and the headers that go up.
fn plan() -> impl FnMut() -> Box<dyn FnOnce()> {
    let (_, receiver) = channel::channel(Clock::system());
    let pipeline = SigningClient::new(&settings(), receiver, Clock::system(), Arc::new(Metrics::default()))
        .expect("the settings are valid");
    let pipeline = Arc::new(pipeline);
    move || {
        let (pipeline, headers) = (Arc::clone(&pipeline), headers(&FROM_A_PAGE));
        Box::new(move || {
            let planned = pipeline.plan(Method::POST, black_box(PATH), black_box(Some(QUERY)), headers);
            black_box(planned.expect("there is a route"));
        })
    }
}

/// The guard's checks of a request that an allowed page sends.
fn admit() -> impl FnMut() -> Box<dyn FnOnce()> {
    let guard = Arc::new(Guard::new(&settings().guard));
    let parts = Arc::new(parts());
    let endpoints = Endpoints { owner: Owner::Own, ..Endpoints::default() };
    move || {
        let (guard, parts) = (Arc::clone(&guard), Arc::clone(&parts));
        Box::new(move || {
            guard.check(black_box(&parts), &endpoints).expect("it is admitted");
        })
    }
}

fn wire_target(query: Option<&str>) -> WireTarget {
    WireTarget::new("/prod", PATH.as_bytes(), query.map(str::as_bytes), Encoding::Twice)
        .expect("it can be sent")
}

fn many_parameters() -> String {
    let parameters: Vec<_> = (0..30).map(|at| format!("key{}=value%20{at}", 29 - at)).collect();
    parameters.join("&")
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |&(name, value): &(_, _)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    pairs.iter().map(pair).collect()
}

fn parts() -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/orders/42/items?limit=100");
    *request.headers_mut() = headers(&FROM_A_PAGE);
    request.into_parts().0
}

fn scope() -> Scope {
    Scope { region: "eu-west-1".into(), service: "execute-api".to_owned() }
}

fn credentials() -> Credentials {
    // As long as those of an identity pool are.
    let session_token = "token".repeat(250);
    Credentials::new(
        "AKIDEXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        Some(session_token),
        None,
        "bench",
    )
}

fn settings() -> Settings {
    let route = |path: &str| RouteSettings {
        path: path.to_owned(),
        upstream: Uri::from_static("http://127.0.0.1:9/prod"),
        region: scope().region,
        service: scope().service,
        sign_host: None,
        strip_prefix: None,
        set_headers: vec![(HeaderName::from_static("x-api-key"), HeaderValue::from_static("key"))],
        payload: PayloadSigning::Hashed,
        websocket_signing: WebsocketSigning::Headers,
    };
    let second = Duration::from_secs(1);
    Settings {
        guard: GuardSettings {
            allowed_origins: vec!["http://localhost:5173".to_owned()],
            allow_other_users: true,
            ..GuardSettings::default()
        },
        limits: Limits {
            max_body: 1 << 20,
            body_memory: 1 << 20,
            max_connections: 1,
            max_in_flight: 1,
            max_tunnels: 1,
        },
        timeouts: Timeouts {
            connect: second,
            response: second,
            idle: second,
            drain: second,
            websocket_idle: second,
        },
        routes: vec![route("/"), route("/orders"), route("/customers")],
        strip_headers: Vec::new(),
        ca_files: Vec::new(),
        forward_proxies: ForwardProxies::default(),
        resolver: Resolver::system(),
    }
}
