//! The protocol of a service, as far as it decides which errors its clients can read.

use super::{
    host::SUFFIXES,
    protocol_table::{EC2_QUERY, JSON, QUERY, REST_XML},
};

/// How the SDKs speak with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// JSON, with or without paths of its own. Some of these services understand AWS Query from older clients.
    Json,
    /// AWS Query.
    Query,
    /// The Query of EC2, whose errors have other elements.
    Ec2Query,
    /// XML, as in CloudFront.
    RestXml,
    /// XML as in S3, where an error stands in no other element.
    S3,
}

/// The labels of hosts that answer for the API of a customer, with what that API takes for an error.
const OF_CUSTOMERS: &[&str] = &["appsync-api", "appsync-realtime-api", "execute-api", "lambda-url"];

/// The protocol of the service with the signing name `service` at `host`; `None` where no SDK knows it.
#[must_use]
pub fn protocol(service: &str, host: &str) -> Option<Protocol> {
    let host = host.to_ascii_lowercase();
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    let is_of_aws = SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    let has = |wanted: fn(&str) -> bool| is_of_aws && name.split('.').any(wanted);
    if has(|label| OF_CUSTOMERS.contains(&label)) {
        return None;
    }
    match service {
        "s3control" => return Some(Protocol::RestXml),
        "s3" if has(|label| label.starts_with("s3-control")) => return Some(Protocol::RestXml),
        "s3" | "s3express" | "s3-outposts" | "s3-object-lambda" => return Some(Protocol::S3),
        _ => {}
    }
    [
        (JSON, Protocol::Json),
        (QUERY, Protocol::Query),
        (EC2_QUERY, Protocol::Ec2Query),
        (REST_XML, Protocol::RestXml),
    ]
    .into_iter()
    .find_map(|(names, protocol)| names.binary_search(&service).is_ok().then_some(protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signing_name_and_the_host_tell_the_protocol() {
        for (service, host, expected) in [
            ("s3", "s3.eu-west-1.amazonaws.com", Some(Protocol::S3)),
            ("s3", "minio.example.com:9000", Some(Protocol::S3)),
            ("s3", "123456789012.s3-control.eu-west-1.amazonaws.com", Some(Protocol::RestXml)),
            ("s3", "s3-control.example.com", Some(Protocol::S3)),
            ("s3express", "b--x-s3.s3express-use1-az4.us-east-1.amazonaws.com", Some(Protocol::S3)),
            ("s3tables", "s3tables.eu-west-1.amazonaws.com", Some(Protocol::Json)),
            ("dynamodb", "dynamodb.eu-west-1.amazonaws.com", Some(Protocol::Json)),
            ("dynamodb", "localhost:8000", Some(Protocol::Json)),
            ("sns", "sns.eu-west-1.amazonaws.com", Some(Protocol::Query)),
            ("iam", "iam.amazonaws.com", Some(Protocol::Json)),
            ("ec2", "ec2.eu-west-1.amazonaws.com", Some(Protocol::Ec2Query)),
            ("route53", "route53.amazonaws.com", Some(Protocol::RestXml)),
            ("lambda", "lambda.eu-west-1.amazonaws.com", Some(Protocol::Json)),
            ("lambda", "abc.lambda-url.eu-west-1.on.aws", None),
            ("appsync", "appsync.eu-west-1.amazonaws.com", Some(Protocol::Json)),
            ("appsync", "abc.appsync-api.eu-west-1.amazonaws.com", None),
            ("execute-api", "abc.execute-api.eu-west-1.amazonaws.com", None),
            ("execute-api", "api.example.com", None),
            ("vpc-lattice-svcs", "abc.vpc-lattice-svcs.eu-west-1.on.aws", None),
            ("service-of-tomorrow", "service-of-tomorrow.eu-west-1.amazonaws.com", None),
        ] {
            assert_eq!(protocol(service, host), expected, "{service} {host}");
        }
    }

    #[test]
    fn every_service_has_one_protocol_where_the_search_finds_it() {
        let tables = [JSON, QUERY, EC2_QUERY, REST_XML];
        for table in tables {
            assert!(table.is_sorted_by(|one, next| one < next), "{:?}", table.first());
            for name in table {
                assert_eq!(tables.iter().filter(|table| table.contains(name)).count(), 1, "{name}");
            }
        }
    }
}
