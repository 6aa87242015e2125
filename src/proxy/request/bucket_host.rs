//! Buckets that S3 clients name in the host: `BUCKET.localhost`, with the key alone in the path.
//!
//! Such a request is forwarded only where it is certain which bucket is meant and where the upstream expects its name. A
//! guess may turn the deletion of an object into that of a bucket.

use std::fmt;

use http::HeaderValue;
use percent_encoding::percent_decode_str;

use crate::endpoint::{S3Host, s3_host};

/// The name below which a bucket can stand.
const LOCALHOST: &str = "localhost";
/// The lengths that the name of a bucket may have (Amazon S3 User Guide, "General purpose bucket naming rules").
const BUCKET_LENGTHS: std::ops::RangeInclusive<usize> = 3..=63;

/// How the upstream of an S3 route is told the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addressing {
    /// By the first segment of the path.
    Path,
    /// Not at all: the upstream's URL stands for the bucket, access point or account of this name.
    Resource(String),
    /// By a path at a place that the URL does not tell.
    BasePath,
    /// By a header: an SDK for S3 Control names the account both there and in the host.
    AccountHeader,
    /// The service at the upstream reads no bucket from the path.
    Other,
}

/// Why a request whose host may name a bucket is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnclearBucket {
    /// The client's host, without port.
    host: String,
    /// What may be the bucket in it.
    bucket: String,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    /// Its first labels are no name of a bucket.
    NotABucket,
    /// Several routes could be meant.
    SeveralRoutes,
    /// The bucket may belong before or behind the base path.
    BasePath,
    /// The upstream stands for this other resource.
    OtherResource(String),
    /// The upstream reads no bucket from the path.
    NoBuckets,
    /// The path leads out of the bucket where a server removes dot segments.
    DotSegments,
}

impl Addressing {
    /// How an upstream that signs for `service` under `host` and has the base path `base` is told the bucket.
    pub(super) fn of(service: &str, host: &str, base: &str) -> Self {
        match s3_host(host) {
            S3Host::Resource(name) if base.is_empty() => Self::Resource(name),
            S3Host::Endpoint => match base.strip_prefix('/') {
                None => Self::Path,
                // On these hosts the first segment is a bucket.
                Some(bucket) if !bucket.contains('/') => Self::Resource(bucket.to_owned()),
                Some(_) => Self::BasePath,
            },
            S3Host::NotAws if service == "s3" && base.is_empty() => Self::Path,
            S3Host::NotAws if service == "s3" => Self::BasePath,
            S3Host::NotAws if service == "s3control" => Self::AccountHeader,
            S3Host::Resource(_) | S3Host::Other | S3Host::NotAws => Self::Other,
        }
    }

    /// The segments that go in front of the client's path for `bucket`.
    pub(super) fn segment<'a>(&self, host: &BucketHost<'a>) -> Result<Option<&'a str>, UnclearBucket> {
        match self {
            Self::Path => Ok(Some(host.bucket)),
            Self::Resource(name) if *name == host.bucket => Ok(None),
            Self::Resource(name) => Err(host.unclear(Why::OtherResource(name.clone()))),
            Self::BasePath => Err(host.unclear(Why::BasePath)),
            Self::AccountHeader if is_account(host.bucket) => Ok(None),
            Self::AccountHeader | Self::Other => Err(host.unclear(Why::NoBuckets)),
        }
    }
}

/// A client's host that may name a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BucketHost<'a> {
    /// What stands before `.localhost`.
    pub(super) bucket: &'a str,
    /// The whole name, without port and without a dot at the end.
    name: &'a str,
    /// Whether it is below a name of the proxy other than `localhost`: it may be another name of the proxy, and below
    /// `store.localhost` the bucket may be called `photos` or `photos.store`.
    is_below_own: bool,
}

impl<'a> BucketHost<'a> {
    /// The host in `value`, if it is below `localhost` or below one of `own`, the other names of the proxy. A name of the
    /// proxy below `localhost` is none, and neither is `s3.localhost`, since no bucket has a name of two letters.
    pub(super) fn of(value: &'a HeaderValue, own: &[String]) -> Option<Self> {
        let text = value.to_str().ok()?;
        let name = text.split_once(':').map_or(text, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let own = || own.iter().map(|own| own.trim_end_matches('.'));
        let below_own = own().find_map(|own| before(name, own));
        let is_own = own().any(|own| own.eq_ignore_ascii_case(name));
        let bucket = below_own.or_else(|| before(name, LOCALHOST).filter(|_| !is_own))?;
        let is_below_own = below_own.is_some();
        (!bucket.eq_ignore_ascii_case("s3")).then_some(Self { bucket, name, is_below_own })
    }

    /// Whether a bucket can have this name. Upper case is none of them: the host of a URL has no case, and a bucket
    /// that differs in it would be another one.
    pub(super) fn can_be_bucket(&self) -> bool {
        let bucket = self.bucket;
        let is_edge =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let is_inner = |byte: u8| is_edge(Some(&byte)) || byte == b'-' || byte == b'.';
        !self.is_below_own
            && BUCKET_LENGTHS.contains(&bucket.len())
            && is_edge(bucket.as_bytes().first())
            && is_edge(bucket.as_bytes().last())
            && bucket.bytes().all(is_inner)
            && !bucket.contains("..")
            // `photos.s3.localhost` is the bucket photos for some, and the bucket photos.s3 for others; `s3.REGION.localhost`
            // names no bucket for some.
            && bucket.split('.').all(|label| label != "s3")
            && bucket.parse::<std::net::Ipv4Addr>().is_err()
    }

    pub(super) fn not_a_bucket(&self) -> UnclearBucket {
        self.unclear(Why::NotABucket)
    }

    pub(super) fn dot_segments(&self) -> UnclearBucket {
        self.unclear(Why::DotSegments)
    }

    pub(super) fn several_routes(&self) -> UnclearBucket {
        self.unclear(Why::SeveralRoutes)
    }

    fn unclear(&self, why: Why) -> UnclearBucket {
        // The guard lets only names of hosts through; a command takes its headers from whoever types them.
        let is_name = |letter: &char| letter.is_ascii_alphanumeric() || "-._".contains(*letter);
        let shown = |text: &str| text.chars().filter(is_name).take(255).collect();
        UnclearBucket { host: shown(self.name), bucket: shown(self.bucket), why }
    }
}

/// Whether a server that removes dot segments finds something else than a key of the bucket at `path` behind the bucket.
/// S3 itself removes none; what stands in front of a store like it may, and then the bucket's name goes with them.
pub(super) fn leads_out_of_bucket(path: &str) -> bool {
    // The wire path has the bytes that are escaped here.
    let path = percent_decode_str(path).decode_utf8_lossy();
    let mut depth = 0_usize;
    for segment in path.split('/') {
        depth = match segment {
            "" | "." => depth,
            ".." if depth == 0 => return true,
            ".." => depth - 1,
            _ => depth + 1,
        };
    }
    false
}

/// What stands in `name` before a dot and `suffix`, if anything does.
fn before<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let (before, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
    let before = before.strip_suffix('.').filter(|before| !before.is_empty())?;
    end.eq_ignore_ascii_case(suffix).then_some(before)
}

/// The host under which the client of `value` reaches all buckets by path: `localhost` with the same port.
pub(in crate::proxy) fn endpoint(value: &HeaderValue) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    let port = text.split_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
    HeaderValue::from_str(&format!("localhost{port}")).ok()
}

impl fmt::Display for UnclearBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PATH_STYLE: &str = "Send it in path style, without the bucket in the host: forcePathStyle: true (SDK for JavaScript), \
                                  s3={\"addressing_style\": \"path\"} (boto3), s3.addressing_style path (AWS CLI).";
        let Self { host, bucket, .. } = self;
        match &self.why {
            Why::NotABucket => write!(
                f,
                "On a route to S3 the host \"{host}\" can name a bucket, and \"{bucket}\" is not certain to be one. {PATH_STYLE}"
            ),
            Why::DotSegments => write!(
                f,
                "The host \"{host}\" names the bucket \"{bucket}\", and \"..\" in the path may lead to another one. \
                 {PATH_STYLE}"
            ),
            Why::SeveralRoutes => write!(
                f,
                "The host \"{host}\" may name the bucket \"{bucket}\", and then the path fits another route. {PATH_STYLE}"
            ),
            Why::BasePath => write!(
                f,
                "The host \"{host}\" names the bucket \"{bucket}\", and the URL of the upstream has a path, so that its \
                 place is not certain. {PATH_STYLE}"
            ),
            Why::OtherResource(name) if is_account(name) || is_account(bucket) => write!(
                f,
                "The host \"{host}\" names \"{bucket}\", and the upstream is that of \"{name}\" alone. Set the upstream \
                 to the host that the SDK would call for \"{bucket}\"."
            ),
            Why::OtherResource(name) => write!(
                f,
                "The host \"{host}\" names the bucket \"{bucket}\", and the upstream is that of \"{name}\" alone. Set the \
                 upstream to the endpoint of the region, https://s3.REGION.amazonaws.com."
            ),
            Why::NoBuckets => write!(
                f,
                "The host \"{host}\" names \"{bucket}\", and the upstream takes no bucket from the path. Send the request \
                 to localhost, and set the upstream to the host that the SDK would call for \"{bucket}\"."
            ),
        }
    }
}

impl std::error::Error for UnclearBucket {}

/// Whether `name` is the id of an AWS account, which S3 Control has in front of its host.
fn is_account(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(host: &'static str) -> Option<&'static str> {
        let value: &'static HeaderValue = Box::leak(Box::new(HeaderValue::from_static(host)));
        BucketHost::of(value, &["app.localhost".to_owned(), "proxy".to_owned()]).map(|host| host.bucket)
    }

    #[test]
    fn names_below_localhost_may_be_buckets_unless_they_are_the_proxys() {
        for (host, expected) in [
            ("photos.localhost:8181", Some("photos")),
            ("photos.LOCALHOST", Some("photos")),
            ("photos.localhost.:80", Some("photos")),
            ("a.b.localhost", Some("a.b")),
            ("localhost:8181", None),
            ("localhost", None),
            (".localhost", None),
            ("photoslocalhost", None),
            ("s3.localhost:1", None),
            ("S3.localhost", None),
            ("App.localhost:1", None),
            ("b.app.localhost", Some("b")),
            ("127.0.0.1:8181", None),
            ("[::1]:8181", None),
            ("photos.proxy:1", Some("photos")),
            ("photos.other", None),
            ("proxy", None),
            ("", None),
        ] {
            assert_eq!(bucket(host), expected, "{host}");
        }
    }

    #[test]
    fn names_that_are_not_certain_to_be_buckets_are_no_buckets() {
        let long = "a".repeat(63);
        for name in ["photos", "my.photos", "a-1", "1ab", "xn--a", &long, "a.s3x"] {
            assert!(BucketHost { bucket: name, name, is_below_own: false }.can_be_bucket(), "{name}");
        }
        let long = "a".repeat(64);
        for name in [
            "ab",
            "Photos",
            "pho_tos",
            "-ab",
            "ab-",
            ".ab",
            "a..b",
            "10.0.0.1",
            "photos.s3",
            "s3.eu-west-1",
            "a.s3.b",
            &long,
        ] {
            assert!(!BucketHost { bucket: name, name, is_below_own: false }.can_be_bucket(), "{name}");
        }
    }

    #[test]
    fn below_a_name_of_the_proxy_it_is_not_certain_what_a_name_means() {
        let own = ["proxy".to_owned(), "store.localhost".to_owned()];
        for (host, certain) in
            [("photos.localhost", true), ("photos.proxy", false), ("photos.store.localhost", false)]
        {
            let value = HeaderValue::from_static(host);
            let host = BucketHost::of(&value, &own).expect("a name below");
            assert_eq!(host.can_be_bucket(), certain, "{host:?}");
        }
    }

    #[test]
    fn the_upstreams_url_tells_where_the_bucket_goes() {
        let photos = || Addressing::Resource("photos".to_owned());
        for (service, host, base, expected) in [
            ("s3", "s3.eu-west-1.amazonaws.com", "", Addressing::Path),
            ("s3", "s3.eu-west-1.amazonaws.com", "/photos", photos()),
            ("s3", "s3.eu-west-1.amazonaws.com", "/photos/2026", Addressing::BasePath),
            ("s3", "photos.s3.eu-west-1.amazonaws.com", "", photos()),
            ("s3", "photos.s3.eu-west-1.amazonaws.com", "/2026", Addressing::Other),
            ("s3", "s3-control.eu-west-1.amazonaws.com", "", Addressing::Other),
            ("s3", "minio.example.com:9000", "", Addressing::Path),
            ("s3", "minio.example.com:9000", "/s3", Addressing::BasePath),
            ("s3express", "minio.example.com", "", Addressing::Other),
            ("s3control", "minio.example.com", "", Addressing::AccountHeader),
            ("s3", "127.0.0.1:9000", "", Addressing::Path),
        ] {
            assert_eq!(Addressing::of(service, host, base), expected, "{service} {host}{base}");
        }
    }
}
