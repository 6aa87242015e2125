//! How bodies are signed: the default of each service, and what contradicts it.

use countersign::proxy::PayloadSigning::{Hashed, Unsigned};

use super::{Run, assert_problem};

const LATTICE: &str = "https://svc-0a1b.7d67968.vpc-lattice-svcs.eu-west-1.on.aws";
const S3: &str = "https://s3.eu-west-1.amazonaws.com";
const GATEWAY: &str = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod";

fn towards(upstream: &str) -> Run {
    Run::complete().variable("COUNTERSIGN_UPSTREAM", upstream)
}

#[test]
fn the_default_is_what_the_service_takes() {
    for (upstream, expected) in [(LATTICE, Unsigned), (S3, Hashed), (GATEWAY, Hashed)] {
        assert_eq!(towards(upstream).valid().proxy.routes[0].payload, expected, "{upstream}");
    }
    let local = towards("http://localhost:9000").flag("region", &["eu-west-1"]);
    let local = local.flag("service", &["vpc-lattice-svcs"]);
    assert_eq!(local.valid().proxy.routes[0].payload, Hashed, "not without TLS");
}

#[test]
fn bodies_are_left_unsigned_where_the_service_takes_them_so() {
    for service in ["s3", "s3express", "s3-outposts", "s3-object-lambda", "vpc-lattice-svcs"] {
        let run = towards("https://example.com")
            .flag("region", &["eu-west-1"])
            .flag("service", &[service])
            .variable("COUNTERSIGN_PAYLOAD", "unsigned");
        assert_eq!(run.valid().proxy.routes[0].payload, Unsigned, "{service}");
        assert_eq!(run.flag("payload", &["hashed"]).valid().proxy.routes[0].payload, Hashed, "{service}");
    }
    for service in ["execute-api", "lambda", "appsync", "es", "aoss", "s3control", "s3tables"] {
        let run = towards("https://example.com").flag("region", &["eu-west-1"]).flag("service", &[service]);
        let why = format!("--payload: \"unsigned\" is refused by {service}: only S3 and VPC Lattice accept");
        assert_problem(&run.flag("payload", &["unsigned"]), &[&why]);
    }
}

#[test]
fn bodies_are_not_left_unsigned_without_tls() {
    let run = towards("http://localhost:9000").flag("region", &["eu-west-1"]).flag("service", &["s3"]);
    assert_problem(&run.flag("payload", &["unsigned"]), &["--payload: \"unsigned\" needs an https upstream"]);
}

#[test]
fn hashed_bodies_for_lattice_draw_a_warning() {
    let warnings = towards(LATTICE).flag("payload", &["hashed"]).valid().warnings;
    assert_eq!(warnings, ["--payload: VPC Lattice refuses hashed bodies; write unsigned, or leave it out"]);
    assert!(towards(LATTICE).valid().warnings.is_empty());
    assert!(towards(S3).flag("payload", &["hashed"]).valid().warnings.is_empty());
}

#[test]
fn a_payload_for_all_routes_that_one_refuses_belongs_to_the_others() {
    let routes = format!("[[route]]\npath = \"/api\"\nupstream = \"{GATEWAY}\"\n");
    let run = towards(S3).flag("payload", &["unsigned"]).file(&routes);
    assert_problem(&run, &["is refused by execute-api", "unsigned only in the routes that take it"]);
}

#[test]
fn another_word_is_refused_with_the_nearest_one() {
    let run = towards(S3).flag("payload", &["unsiged"]);
    assert_problem(&run, &["--payload: \"unsiged\" is not hashed or unsigned; did you mean unsigned?"]);
}

#[test]
fn each_route_has_its_own_payload_and_the_listing_shows_where_from() {
    let routes = format!(
        "[[route]]\npath = \"/store\"\nupstream = \"{S3}\"\npayload = \"unsigned\"\n\
         [[route]]\npath = \"/mesh\"\nupstream = \"{LATTICE}\"\n"
    );
    let config = towards(GATEWAY).file(&routes).valid();
    let payloads: Vec<_> =
        config.effective.routes.iter().map(|route| (route.path.as_str(), route.payload)).collect();
    assert_eq!(payloads, [("/store", "unsigned"), ("/mesh", "unsigned"), ("/", "hashed")]);
    let text = config.effective.to_string();
    assert!(text.contains("default for vpc-lattice-svcs"), "{text}");
}

#[test]
fn a_body_may_exceed_the_memory_for_bodies_where_all_stream() {
    let large = |upstream| towards(upstream).flag("max-body", &["5GiB"]);
    assert_eq!(large(LATTICE).valid().proxy.limits.max_body, 5 << 30);
    assert_eq!(large(S3).flag("payload", &["unsigned"]).valid().proxy.limits.max_body, 5 << 30);
    assert_problem(&large(S3), &["--max-body: body-memory is smaller than max-body"]);
    let hashed = format!("[[route]]\npath = \"/api\"\nupstream = \"{GATEWAY}\"\n");
    assert_problem(&large(LATTICE).file(&hashed), &["--max-body: body-memory is smaller than max-body"]);
}
