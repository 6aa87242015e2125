//! Which setting a value belongs to, by its form and by the key that it stands under.
//!
//! The keys of CDK, SST and CloudFormation are the developer's own, but ids and URLs of AWS have forms that nothing else
//! has. Only an app client's id needs the key as well.

use super::parse;
use crate::{config::url::login_domain, endpoint};

/// Services that are APIs of a developer's own. What else AWS hosts (a bucket, a queue) is no upstream to guess.
const OF_APIS: [&str; 3] = ["execute-api", "lambda", "appsync"];

/// Ids of app clients have 26 letters and digits; client secrets have 51 or more.
const LENGTHS_OF_CLIENT_IDS: std::ops::RangeInclusive<usize> = 20..=32;

/// The setting that `value` at `key` is for, with the value as the configuration has it.
pub(super) fn setting(key: &str, value: &str) -> Option<(&'static str, String)> {
    let key = key.to_ascii_lowercase();
    let last = key.rsplit('.').next().unwrap_or_default();
    let name = if parse("user-pool-id", value).is_ok() {
        "user-pool-id"
    } else if parse("identity-pool-id", value).is_ok() {
        "identity-pool-id"
    } else if is_of_api(last, value) {
        "upstream"
    } else if is_of_managed_login(value) {
        "domain"
    } else if last.ends_with("region") && endpoint::is_region(value) {
        "region"
    } else if key.contains("client") && !last.contains("secret") && is_client_id(value) {
        "client-id"
    } else {
        return None;
    };
    parse(name, value).ok().map(|value| (name, value))
}

fn is_of_api(last: &str, value: &str) -> bool {
    let Some(rest) = value.strip_prefix("https://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    match endpoint::infer(host).known() {
        Some(inferred) => OF_APIS.contains(&inferred.service.as_str()),
        // A custom domain, which the key alone can tell from a web site.
        None => last.contains("api") && !is_of_managed_login(value),
    }
}

fn is_of_managed_login(value: &str) -> bool {
    let suffixes = [".amazoncognito.com", ".amazoncognito.eu"];
    login_domain(value).is_ok_and(|domain| suffixes.iter().any(|suffix| domain.ends_with(suffix)))
}

fn is_client_id(value: &str) -> bool {
    LENGTHS_OF_CLIENT_IDS.contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_by_their_form() {
        let table = [
            ("Auth.Pool", "eu-west-1_AbCdEf123", "user-pool-id", "eu-west-1_AbCdEf123"),
            (
                "Auth.Id",
                "eu-west-1:01234567-89ab-cdef-0123-456789abcdef",
                "identity-pool-id",
                "eu-west-1:01234567-89ab-cdef-0123-456789abcdef",
            ),
            ("Auth.WebClient", "1h57kf5cpq17m0eml12EXAMPLE", "client-id", "1h57kf5cpq17m0eml12EXAMPLE"),
            ("UserPoolClient.id", "6va5jg3cgtrd170sgokikjm5m6", "client-id", "6va5jg3cgtrd170sgokikjm5m6"),
            (
                "Api.Endpoint4F160690",
                "https://abc123.execute-api.eu-west-1.amazonaws.com/prod/",
                "upstream",
                "https://abc123.execute-api.eu-west-1.amazonaws.com/prod",
            ),
            (
                "FunctionUrl",
                "https://x.lambda-url.eu-west-1.on.aws/",
                "upstream",
                "https://x.lambda-url.eu-west-1.on.aws",
            ),
            ("ApiUrl", "https://api.example.com", "upstream", "https://api.example.com"),
            (
                "LoginUrl",
                "https://shop.auth.eu-west-1.amazoncognito.com",
                "domain",
                "shop.auth.eu-west-1.amazoncognito.com",
            ),
            ("Stack.AwsRegion", "eu-west-1", "region", "eu-west-1"),
        ];
        for (key, value, name, expected) in table {
            assert_eq!(setting(key, value), Some((name, expected.to_owned())), "{key}");
        }
    }

    #[test]
    fn other_values_are_left_alone() {
        for (key, value) in [
            ("Auth.ClientSecret", "1h57kf5cpq17m0eml12EXAMPLE"),
            ("Auth.ClientSecret", "1h57kf5cpq17m0eml12EXAMPLE1h57kf5cpq17m0eml12EXAMPLE"),
            ("Auth.ClientName", "web"),
            ("Site.Url", "https://d111111abcdef8.cloudfront.net"),
            ("Queue.ApiUrl", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"),
            ("Chat.ApiUrl", "wss://abc123.execute-api.eu-west-1.amazonaws.com/prod"),
            ("Table.Id", "1h57kf5cpq17m0eml12EXAMPLE"),
            ("Pool.Arn", "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbCdEf123"),
            ("Zone", "eu-west-1"),
            ("", ""),
        ] {
            assert_eq!(setting(key, value), None, "{key} {value}");
        }
    }
}
