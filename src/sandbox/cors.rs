//! CORS as the services answer it: any origin, and the headers that the AWS SDKs need to read.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};

use super::{Service, answer::Body};

/// What scripts may read of Cognito's answers. The SDKs correct their clock by `Date` and take errors from the others.
const EXPOSED_BY_COGNITO: &str = "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date";
const EXPOSED_BY_API: &str = "x-amzn-RequestId,x-amzn-ErrorType,x-amz-apigw-id,Date";

/// Paths of managed login that applications call by script. The others are pages, which no other origin reads.
const CALLED_BY_SCRIPTS: [&str; 3] = ["/oauth2/token", "/oauth2/userInfo", "/oauth2/revoke"];

/// What a service says about other origins to one request.
#[derive(Clone, Copy)]
pub(super) struct Cors(Service);

impl Cors {
    /// `None` where a request comes from no page, or where the service does not speak to other origins.
    pub(super) fn of<B>(service: Service, request: &Request<B>) -> Option<Self> {
        request.headers().get(header::ORIGIN)?;
        (service != Service::UserPool || is_called_by_scripts(request)).then_some(Self(service))
    }

    /// The answer to a preflight request; `None` for every other.
    pub(super) fn preflight<B>(self, request: &Request<B>) -> Option<Response<Body>> {
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method() != Method::OPTIONS {
            return None;
        }
        let methods = match self.0 {
            Service::Api => HeaderValue::from_static("DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"),
            Service::UserPool | Service::IdentityPool => asked.clone(),
        };
        let mut response =
            Response::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
        // A mock integration of API Gateway answers 204, as the CDK sets it up; Cognito answers 200.
        *response.status_mut() = if self.0 == Service::Api { StatusCode::NO_CONTENT } else { StatusCode::OK };
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(names) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
        self.mark(headers);
        Some(response)
    }

    /// Allows the page to read an answer. A backend that allows what it wants is left alone.
    pub(super) fn mark(self, headers: &mut HeaderMap) {
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        let exposed = if self.0 == Service::Api { EXPOSED_BY_API } else { EXPOSED_BY_COGNITO };
        // Beside those that a backend exposes.
        headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    }
}

fn is_called_by_scripts<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    path == "/" || path.contains("/.well-known/") || CALLED_BY_SCRIPTS.contains(&path)
}
