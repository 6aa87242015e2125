//! The head of an answer, as far as it tells what the answer means.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{
    clock,
    proxy::headers::{X_AMZN_ERRORTYPE, X_AMZN_REQUESTID},
};

const APIGW_REQUESTID: HeaderName = HeaderName::from_static("apigw-requestid");
const X_AMZ_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const X_AMZ_CF_ID: HeaderName = HeaderName::from_static("x-amz-cf-id");
const X_AMZN_WAF_ACTION: HeaderName = HeaderName::from_static("x-amzn-waf-action");
const X_AMZ_BUCKET_REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");

/// Who sent an answer, by the header in which it numbers its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnsweredBy {
    /// `x-amzn-requestid`: a REST API, a function URL or another service.
    Service,
    /// `apigw-requestid`: an HTTP API, or the integration behind it.
    HttpApi,
    /// `x-amz-request-id`.
    S3,
    /// An error type without an id.
    TypeOnly,
    /// CloudFront, without an API's id.
    CloudFront,
    /// A load balancer, without an API's id.
    LoadBalancer,
    /// A body without a head. A person says that it is a gateway's.
    Saved,
    /// No known header.
    Unknown,
}

/// The head of an answer that may be a gateway's refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Absent for a body that was saved without its head.
    status: Option<StatusCode>,
    /// `x-amzn-errortype`, without the address that some services append.
    error_type: Option<String>,
    request_id: Option<String>,
    answered_by: AnsweredBy,
    /// Whether the text can be read as it comes.
    is_plain: bool,
    is_html: bool,
    /// Whether CloudFront made the answer, and did not only pass it on.
    is_made_by_cloudfront: bool,
    firewall_action: Option<String>,
    bucket_region: Option<String>,
    date: Option<SystemTime>,
}

impl AnswerHead {
    /// `None` for an answer that refuses nothing, and for one that cannot be a gateway's.
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Option<Self> {
        // The status goes first, so that no other answer pays for looking these headers up. 301 is what S3 answers in
        // the wrong region.
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error() || status == StatusCode::MOVED_PERMANENTLY)
        {
            return None;
        }
        let head = Self::read(status, response.headers());
        let may_be_of_a_firewall = status == StatusCode::FORBIDDEN && head.is_html;
        (head.is_marked() || may_be_of_a_firewall || status == StatusCode::PAYLOAD_TOO_LARGE).then_some(head)
    }

    /// The head and the body of an answer that was saved: a body alone, or what `curl -i` prints. There is no head for an
    /// answer that [`of`](Self::of) has none for.
    #[must_use]
    pub fn of_saved(text: &str) -> (Option<Self>, &str) {
        let mut head = Some(Self::saved());
        let mut rest = text;
        // curl prints the heads of a forward proxy and of redirects as well; the last one is the answer's.
        while rest.starts_with("HTTP/") {
            let Some((lines, body)) = rest.split_once("\r\n\r\n").or_else(|| rest.split_once("\n\n")) else {
                break;
            };
            head = parsed(lines).and_then(|response| Self::of(&response));
            rest = body;
        }
        (head, rest)
    }

    fn saved() -> Self {
        Self {
            status: None,
            error_type: None,
            request_id: None,
            answered_by: AnsweredBy::Saved,
            is_plain: true,
            is_html: false,
            is_made_by_cloudfront: false,
            firewall_action: None,
            bucket_region: None,
            date: None,
        }
    }

    fn read(status: StatusCode, headers: &HeaderMap) -> Self {
        let error_type = text(headers, &X_AMZN_ERRORTYPE);
        let ids = [X_AMZN_REQUESTID, APIGW_REQUESTID, X_AMZ_REQUEST_ID];
        let is_html = text(headers, &header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"));
        Self {
            status: Some(status),
            answered_by: answered_by(headers, error_type.is_some()),
            error_type: error_type.map(|error| error.split(':').next().unwrap_or_default().to_owned()),
            request_id: ids.iter().find_map(|name| text(headers, name)),
            is_plain: !headers.contains_key(header::CONTENT_ENCODING),
            is_html,
            is_made_by_cloudfront: server(headers) == "cloudfront",
            firewall_action: text(headers, &X_AMZN_WAF_ACTION),
            bucket_region: text(headers, &X_AMZ_BUCKET_REGION),
            date: clock::date(|name| headers.get(name).map(|value| value.to_str().unwrap_or_default())),
        }
    }

    /// Whether AWS has left a mark on the answer.
    pub(super) fn is_marked(&self) -> bool {
        self.answered_by != AnsweredBy::Unknown || self.firewall_action.is_some()
    }

    /// Whether `x-amzn-requestid` is there, which no integration behind an HTTP API sets.
    #[must_use]
    pub fn has_service_request_id(&self) -> bool {
        self.answered_by == AnsweredBy::Service
    }

    /// The status; absent for a saved body.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Whether the status is `status`, or not known.
    pub(super) fn is(&self, status: u16) -> bool {
        self.status.is_none_or(|own| own.as_u16() == status)
    }

    /// The id by which the upstream's own logs name the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// `x-amzn-errortype`.
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        self.error_type.as_deref()
    }

    pub(super) fn answered_by(&self) -> AnsweredBy {
        self.answered_by
    }

    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(super) fn is_html(&self) -> bool {
        self.is_html
    }

    pub(super) fn is_made_by_cloudfront(&self) -> bool {
        self.is_made_by_cloudfront
    }

    /// What AWS WAF asks the client to do.
    pub(super) fn firewall_action(&self) -> Option<&str> {
        self.firewall_action.as_deref()
    }

    /// The region in which S3 has the bucket.
    pub(super) fn bucket_region(&self) -> Option<&str> {
        self.bucket_region.as_deref()
    }

    /// When the gateway answered, by its clock.
    pub(super) fn date(&self) -> Option<SystemTime> {
        self.date
    }

    /// The words before a cause, for the log and the terminal.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        if self.status.is_some_and(|status| status.is_server_error()) {
            "the gateway failed to answer"
        } else {
            "the gateway refused the request"
        }
    }
}

fn answered_by(headers: &HeaderMap, has_type: bool) -> AnsweredBy {
    let has = |name: &HeaderName| headers.contains_key(name);
    let server = server(headers);
    if has(&X_AMZN_REQUESTID) {
        AnsweredBy::Service
    } else if has(&APIGW_REQUESTID) {
        AnsweredBy::HttpApi
    } else if has(&X_AMZ_REQUEST_ID) {
        AnsweredBy::S3
    } else if has_type {
        AnsweredBy::TypeOnly
    } else if server == "cloudfront" || has(&X_AMZ_CF_ID) {
        AnsweredBy::CloudFront
    } else if server.starts_with("awselb") {
        AnsweredBy::LoadBalancer
    } else {
        AnsweredBy::Unknown
    }
}

fn server(headers: &HeaderMap) -> String {
    text(headers, &header::SERVER).unwrap_or_default().to_ascii_lowercase()
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A head as curl prints it; lines that are no header are left out.
fn parsed(lines: &str) -> Option<Response<()>> {
    let mut lines = lines.lines();
    let status = lines.next()?.split_whitespace().nth(1)?.parse().ok()?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    let fields = lines.filter_map(|line| line.split_once(':'));
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.trim()))
        {
            response.headers_mut().append(name, value);
        }
    }
    Some(response)
}
