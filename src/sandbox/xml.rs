//! The XML of STS: elements with text in them, and its errors.

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// An element around other elements.
pub(super) fn element(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

/// An element around text.
pub(super) fn text(name: &str, text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    element(name, &escaped)
}

/// A whole answer, with its request id.
pub(super) fn answer(action: &str, result: &str) -> String {
    let result = element(&format!("{action}Result"), result);
    let metadata = element("ResponseMetadata", &request_id());
    format!("<{action}Response xmlns=\"{NAMESPACE}\">{result}{metadata}</{action}Response>\n")
}

/// A whole error.
pub(super) fn error(code: &str, message: &str) -> String {
    let parts = [text("Type", "Sender"), text("Code", code), text("Message", message)].concat();
    let error = element("Error", &parts);
    format!("<ErrorResponse xmlns=\"{NAMESPACE}\">{error}{}</ErrorResponse>\n", request_id())
}

fn request_id() -> String {
    text("RequestId", &uuid::Uuid::new_v4().to_string())
}
