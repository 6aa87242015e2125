//! WebSockets: where handshakes are signed, and how many there may be.

use countersign::proxy::WebsocketSigning::{Headers, Query};

use super::{Run, assert_problem};

const GATEWAY: &str = "wss://abc123.execute-api.eu-west-1.amazonaws.com/prod";
const IOT: &str = "wss://a1b2c3-ats.iot.eu-west-1.amazonaws.com";

fn towards(upstream: &str) -> Run {
    Run::complete().variable("COUNTERSIGN_UPSTREAM", upstream)
}

#[test]
fn an_upstream_may_have_the_scheme_of_a_websocket() {
    for (text, expected) in [
        (GATEWAY, "https://abc123.execute-api.eu-west-1.amazonaws.com/prod"),
        (
            "WSS://abc123.execute-api.eu-west-1.amazonaws.com:443/",
            "https://abc123.execute-api.eu-west-1.amazonaws.com/",
        ),
        ("ws://localhost:9000", "http://localhost:9000/"),
    ] {
        let run = towards(text).flag("region", &["eu-west-1"]);
        assert_eq!(run.valid().proxy.routes[0].upstream.to_string(), expected, "{text}");
    }
    let run = towards("ws://abc123.execute-api.eu-west-1.amazonaws.com");
    assert_problem(&run, &["only loopback may be reached without TLS"]);
}

#[test]
fn handshakes_are_signed_where_the_service_reads_the_signature() {
    assert_eq!(towards(GATEWAY).valid().proxy.routes[0].websocket_signing, Headers);
    let iot = towards(IOT).flag("service", &["iotdevicegateway"]);
    assert_eq!(iot.valid().proxy.routes[0].websocket_signing, Query);
    let iot = iot.flag("websocket-signing", &["headers"]);
    assert_eq!(iot.valid().proxy.routes[0].websocket_signing, Headers);
    let run = towards(GATEWAY).variable("COUNTERSIGN_WEBSOCKET_SIGNING", "query");
    assert_eq!(run.valid().proxy.routes[0].websocket_signing, Query);
    let run = towards(GATEWAY).flag("websocket-signing", &["header"]);
    assert_problem(&run, &["--websocket-signing: \"header\" is not headers or query; did you mean headers?"]);
}

#[test]
fn each_route_says_where_its_handshakes_are_signed_and_the_listing_shows_it() {
    let routes = format!(
        "[[route]]\npath = \"/mqtt\"\nupstream = \"{IOT}\"\nservice = \"iotdevicegateway\"\n\
         [[route]]\npath = \"/live\"\nupstream = \"{GATEWAY}\"\nwebsocket-signing = \"query\"\n"
    );
    let config = towards(GATEWAY).file(&routes).valid();
    let signings: Vec<_> =
        config.effective.routes.iter().map(|route| (route.path.as_str(), route.websocket_signing)).collect();
    assert_eq!(signings, [("/mqtt", "query"), ("/live", "query"), ("/", "headers")]);
    let text = config.effective.to_string();
    assert!(text.contains("default for iotdevicegateway"), "{text}");
}

#[test]
fn tunnels_are_limited_and_are_connections() {
    let limits = |run: &Run| run.valid().proxy.limits.max_tunnels;
    assert_eq!(limits(&towards(GATEWAY)), 256);
    assert_eq!(limits(&towards(GATEWAY).flag("max-tunnels", &["1000"])), 1000);
    // The default gives way.
    assert!(towards(GATEWAY).flag("max-connections", &["10"]).valid().proxy.limits.max_connections == 10);
    assert_problem(
        &towards(GATEWAY).flag("max-tunnels", &["1025"]),
        &["--max-tunnels: is larger than max-connections (1024), and each WebSocket is a connection"],
    );
    assert_problem(&towards(GATEWAY).flag("max-tunnels", &["0"]), &["--max-tunnels"]);
    assert_problem(&towards(GATEWAY).flag("websocket-idle-timeout", &["0s"]), &["must be longer than zero"]);
}
