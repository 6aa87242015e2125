//! How the record of an exchange begins.

use http::{HeaderName, Request};

use crate::{
    downstream::RefusedHead,
    inspector::{Begin, Recorder, Recording},
    proxy::request_id::RequestId,
};

/// By this a request that is sent again from the inspector is recognised, and it ends here: the upstream gets what it
/// got from the client.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Begins the record of `request`.
pub(super) fn begin<B>(recorder: &Recorder, request: &mut Request<B>, id: &RequestId) -> Recording {
    let refused = request.extensions().get::<RefusedHead>();
    let recording = recorder.begin(&Begin {
        request_id: id.shared(),
        method: refused.map_or_else(|| Some(request.method()), |head| head.method.as_ref()),
        path: refused.map_or_else(|| request.uri().path(), |head| &head.path),
        query: request.uri().query(),
        version: request.version(),
        headers: request.headers(),
    });
    if recording.is_replay() {
        request.headers_mut().remove(X_REQUEST_ID);
    }
    recording
}
