//! `/logout`: ends the browser's session, then goes where the client is registered to send it.

use http::{Response, StatusCode, header};

use super::{
    PageRequest,
    page::{error_page, redirection, unlisted},
};
use crate::sandbox::{answer::Body, people::AppClient, percent::encode, user_pool::UserPool};

impl UserPool {
    pub(super) fn log_out(&self, request: &PageRequest<'_>) -> Response<Body> {
        let query = request.query;
        let Ok(client) = self.clients.find(query.get("client_id").unwrap_or_default()) else {
            return error_page("invalid_client", "No app client has this client_id.");
        };
        let mut response = match (query.get("logout_uri"), query.get("redirect_uri")) {
            (Some(uri), _) if logout_uris(client).any(|known| known == uri) => {
                redirection(StatusCode::FOUND, uri)
            }
            (None, Some(uri)) if client.redirect_uris.iter().any(|known| known == uri) => {
                let pairs = query.clone().into_vec();
                let pairs = pairs
                    .iter()
                    .map(|(name, value)| format!("{}={}", encode(name.as_bytes()), encode(value.as_bytes())));
                redirection(StatusCode::FOUND, &format!("/login?{}", pairs.collect::<Vec<_>>().join("&")))
            }
            (None, None) => {
                let message = "The request needs logout_uri, or redirect_uri and response_type.";
                return error_page("invalid_request", message);
            }
            (Some(uri), _) => return unlisted("logout_uri", uri),
            (None, Some(uri)) => return unlisted("redirect_uri", uri),
        };
        let cookie = self.browser_sessions.end(request.headers);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        response
    }
}

fn logout_uris(client: &AppClient) -> impl Iterator<Item = &String> {
    let listed = &client.logout_uris;
    if listed.is_empty() { client.redirect_uris.iter() } else { listed.iter() }
}
