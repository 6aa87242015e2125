//! Where the pool is: the issuer of its tokens, the published keys, and the discovery document.

use std::sync::{Arc, OnceLock};

use http::{Response, StatusCode};
use serde_json::json;

use super::{UserPool, pool_id};
use crate::sandbox::{
    answer::{Body, plain},
    pool_rules::Issuer,
    tokens,
};

/// The issuer of the pool's tokens, and the address that the pool listens on; clones share it.
#[derive(Clone)]
pub(in crate::sandbox) struct Location {
    /// The issuer that the real service would have.
    aws_issuer: String,
    pool_id: String,
    issuer: Issuer,
    /// Known as soon as the listener is bound.
    base: Arc<OnceLock<String>>,
}

impl Location {
    pub(super) fn new(region: &str, issuer: Issuer) -> Self {
        let (aws_issuer, pool_id) = (super::issuer(region), pool_id(region));
        Self { aws_issuer, pool_id, issuer, base: Arc::default() }
    }

    /// Sets the URL of the listener, once.
    pub(in crate::sandbox) fn set_base(&self, url: String) {
        self.base.get_or_init(|| url);
    }

    /// `iss` of the tokens.
    pub(in crate::sandbox) fn issuer(&self) -> String {
        match (self.issuer, self.base.get()) {
            (Issuer::Local, Some(base)) => format!("{base}/{}", self.pool_id),
            (Issuer::Local, None) | (Issuer::Aws, _) => self.aws_issuer.clone(),
        }
    }

    fn base(&self) -> &str {
        self.base.get().map_or("", String::as_str)
    }
}

impl UserPool {
    pub(super) fn document(&self, path: &str) -> Response<Body> {
        let name = path.trim_start_matches('/').strip_prefix(&pool_id(&self.region));
        let value = match name {
            Some("/.well-known/jwks.json") => tokens::published_keys(),
            Some("/.well-known/openid-configuration") => self.openid_configuration(),
            _ => return plain(StatusCode::NOT_FOUND, "text/plain", "Not Found".to_owned()),
        };
        plain(StatusCode::OK, "application/json", value.to_string())
    }

    fn openid_configuration(&self) -> serde_json::Value {
        let base = self.location.base();
        json!({
            "authorization_endpoint": format!("{base}/oauth2/authorize"),
            "code_challenge_methods_supported": ["S256"],
            "end_session_endpoint": format!("{base}/logout"),
            "id_token_signing_alg_values_supported": ["RS256"],
            "issuer": self.location.issuer(),
            "jwks_uri": format!("{base}/{}/.well-known/jwks.json", pool_id(&self.region)),
            "response_types_supported": ["code"],
            "revocation_endpoint": format!("{base}/oauth2/revoke"),
            "scopes_supported": ["openid", "email", "phone", "profile"],
            "subject_types_supported": ["public"],
            "token_endpoint": format!("{base}/oauth2/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "userinfo_endpoint": format!("{base}/oauth2/userInfo"),
        })
    }
}
