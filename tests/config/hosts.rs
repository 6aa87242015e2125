//! Upstreams with names of AWS: what the name tells, and what has to be set.

use super::{Run, UPSTREAM, assert_problem};

const UNKNOWN: &str = "https://tomorrow.eu-west-1.amazonaws.com";

#[test]
fn a_name_of_aws_without_a_rule_asks_for_region_and_service() {
    let run = || Run::complete().variable("COUNTERSIGN_UPSTREAM", UNKNOWN);
    let why = "is required, since countersign has no rule for the AWS host tomorrow.eu-west-1.amazonaws.com";
    assert_problem(&run().flag("service", &["tomorrow"]), &[&format!("region: {why}")]);
    let region = run().flag("region", &["eu-west-1"]);
    assert_problem(&region, &[&format!("service: {why}")]);
    let route = &region.flag("service", &["tomorrow"]).valid().proxy.routes[0];
    assert_eq!((route.region.as_str(), route.service.as_str()), ("eu-west-1", "tomorrow"));
}

/// Service, region and set of regions of the only route.
fn scope(run: &Run) -> (String, Option<String>, Option<String>) {
    let route = run.valid().proxy.routes.remove(0);
    (route.service, route.region.one().map(str::to_owned), route.region.set().map(str::to_owned))
}

fn signed_for_set(service: &str, set: &str) -> (String, Option<String>, Option<String>) {
    (service.to_owned(), None, Some(set.to_owned()))
}

const MULTI_REGION: &str = "https://a.mrap.accesspoint.s3-global.amazonaws.com";

#[test]
fn a_host_that_accepts_sigv4a_only_is_signed_for_every_region_unless_a_set_is_given() {
    let run =
        || Run::complete().variable("COUNTERSIGN_UPSTREAM", MULTI_REGION).variable("AWS_REGION", "eu-west-1");
    assert_eq!(scope(&run()), signed_for_set("s3", "*"));
    let given = run().flag("region-set", &["us-east-1, us-west-*"]).flag("service", &["s3express"]);
    assert_eq!(scope(&given), signed_for_set("s3express", "us-east-1,us-west-*"));
    let events = run().flag("upstream", &["https://abc.def.endpoint.events.amazonaws.com"]);
    assert_eq!(scope(&events), signed_for_set("events", "*"));
    assert_problem(
        &run().flag("region", &["eu-west-1"]),
        &[
            "--region: a.mrap.accesspoint.s3-global.amazonaws.com accepts SigV4A signatures only; set region-set",
        ],
    );
}

#[test]
fn a_set_of_regions_takes_the_place_of_a_region() {
    let run = |upstream: &str| Run::complete().flag("upstream", &[upstream]).flag("region-set", &["*"]);
    let custom = "https://api.example.com";
    assert_eq!(scope(&run(custom)), signed_for_set("execute-api", "*"));
    assert_eq!(scope(&run(custom).variable("AWS_REGION", "eu-west-1")), signed_for_set("execute-api", "*"));
    let lattice = "https://orders-1.x-1.vpc-lattice-svcs.eu-west-1.on.aws";
    assert_eq!(scope(&run(lattice)), signed_for_set("vpc-lattice-svcs", "*"));
    let variable = Run::complete().variable("COUNTERSIGN_REGION_SET", "us-east-1,eu-west-1");
    assert_eq!(scope(&variable), signed_for_set("execute-api", "us-east-1,eu-west-1"));
    assert_eq!(scope(&Run::complete().file("region-set = 'us-*'\n")), signed_for_set("execute-api", "us-*"));
}

#[test]
fn region_and_region_set_contradict_each_other_wherever_they_stand() {
    let run = Run::complete().flag("region-set", &["*"]);
    for (run, expected) in [
        (
            run.file("region = 'eu-west-1'\n"),
            "--region-set: contradicts countersign.toml:1: region: SigV4A signs for region-set and SigV4 for region; \
             remove one of them",
        ),
        (
            Run::complete().file(&format!(
                "[[route]]\npath = '/a'\nupstream = '{UPSTREAM}'\nregion = 'eu-west-1'\nregion-set = '*'\n"
            )),
            "countersign.toml:5: region-set: contradicts countersign.toml:4: region",
        ),
        (
            Run::complete().variable("COUNTERSIGN_UPSTREAM", "").file(&format!(
                "region = 'eu-west-1'\nregion-set = '*'\n[[route]]\npath = '/a'\nupstream = '{UPSTREAM}'\n"
            )),
            "countersign.toml:2: region-set: contradicts countersign.toml:1: region",
        ),
    ] {
        assert_problem(&run, &[expected]);
    }
}

#[test]
fn a_route_has_its_own_set_and_takes_that_of_the_top_level_where_its_host_names_no_region() {
    let run = Run::complete().variable("COUNTERSIGN_UPSTREAM", "").file(&format!(
        "region-set = 'us-*'\n[[route]]\npath = '/1'\nupstream = 'https://api.example.com'\n\
         [[route]]\npath = '/2'\nupstream = '{UPSTREAM}'\n\
         [[route]]\npath = '/3'\nupstream = 'https://api.example.com'\nregion = 'eu-west-1'\n\
         [[route]]\npath = '/4'\nupstream = '{UPSTREAM}'\nregion-set = 'eu-*'\n\
         [[route]]\npath = '/5'\nupstream = '{MULTI_REGION}'\n",
    ));
    let mut routes = run.valid().proxy.routes;
    routes.sort_by(|one, other| one.path.cmp(&other.path));
    let regions: Vec<_> = routes.iter().map(|route| route.region.to_string()).collect();
    assert_eq!(regions, ["region-set us-*", "eu-west-1", "eu-west-1", "region-set eu-*", "region-set *"]);
}

#[test]
fn sets_with_mistakes_are_refused_and_unknown_regions_draw_a_warning() {
    let run = |set: &str| Run::complete().flag("region-set", &[set]);
    for (set, expected) in [
        ("us-east-1,", "\"us-east-1,\" is not a set of regions such as * or us-east-1,eu-west-1"),
        ("us-east-1;us-west-1", "is not a set of regions"),
        ("us-east-1 us-west-1", "is not a set of regions"),
        ("us-esat-1,*", "\"us-esat-1\" is not an AWS region; did you mean us-east-1?"),
        ("all", "\"all\" is not an AWS region such as eu-west-1"),
    ] {
        assert_problem(&run(set), &[expected]);
    }
    let list = Run::complete().flag("upstream", &["https://api.example.com"]).file("region-set = ['us-*']\n");
    let expected = "countersign.toml:1: region-set: expected text in quotes, found a list";
    assert_eq!(list.problems(), [expected]);
    assert!(run("*,us-*,eu-west-1").valid().warnings.is_empty());
    let warnings = run("eu-wset-*,eu-west-9").valid().warnings;
    assert_eq!(warnings[0], "--region-set: eu-wset-* matches no region that this version knows");
    assert!(
        warnings[1].starts_with("--region-set: eu-west-9 is not a region that this version knows"),
        "{warnings:?}"
    );
}

#[test]
fn check_shows_a_set_of_regions_in_place_of_the_region() {
    let effective = Run::complete().flag("region-set", &["us-*"]).valid().effective;
    let json = serde_json::to_value(&effective).expect("JSON");
    let route = &json["routes"][0];
    assert_eq!((&route["region"], &route["region-set"]), (&serde_json::Value::Null, &"us-*".into()));
    assert_eq!(route["region-set-origin"], "--region-set");
    assert_eq!(json["settings"]["region"]["value"], serde_json::Value::Null);
    assert_eq!(json["settings"]["region-set"]["value"], "us-*");
    let text = effective.to_string();
    let shown = text.lines().skip_while(|line| !line.starts_with("route")).collect::<Vec<_>>();
    assert!(
        shown.iter().any(|line| line.split_whitespace().eq(["region-set", "us-*", "--region-set"])),
        "{text}"
    );
    assert!(!shown.iter().any(|line| line.split_whitespace().next() == Some("region")), "{text}");
}
