//! Upstreams with names of AWS: what the name tells, and what has to be set.

use super::{Run, assert_problem};

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

#[test]
fn a_host_that_needs_sigv4a_is_refused_whatever_is_set() {
    let run = Run::complete()
        .variable("COUNTERSIGN_UPSTREAM", "https://a.mrap.accesspoint.s3-global.amazonaws.com")
        .flag("region", &["eu-west-1"])
        .flag("service", &["s3"]);
    assert_problem(
        &run,
        &["a.mrap.accesspoint.s3-global.amazonaws.com, which accepts SigV4A signatures only"],
    );
}
