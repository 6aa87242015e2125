//! Signatures in the query, for handshakes that browsers and MQTT clients make: AWS, "Signature Version 4 signing
//! process", query string authentication.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use http::HeaderMap;

use super::{
    Explanation, SignedRequest, Signer, SigningError, SigningRegion, Unsigned,
    cache::SigningState,
    canonical,
    percent::{RESERVED, extend_encoded},
};

/// How long a signature in the query is valid, in seconds. AgentCore accepts no more, and a handshake is sent at once.
const EXPIRES: &str = "300";

/// How the session token goes into a signed query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryToken {
    /// As one of the signed parameters.
    Signed,
    /// Behind the signature: AWS IoT computes its signature without the token.
    Appended,
}

impl Signer {
    /// Signs like [`sign`](Self::sign), with the signature in the query.
    ///
    /// # Errors
    /// As `sign`.
    pub fn sign_query(
        &self,
        unsigned: &Unsigned,
        credentials: &Credentials,
        time: SystemTime,
        placement: QueryToken,
    ) -> Result<(SignedRequest, Explanation), SigningError> {
        let mut state = self.cache.state();
        state.prepare(&self.scope, credentials, time)?;
        let mut headers = HeaderMap::with_capacity(unsigned.headers.len() + 1);
        headers.insert(http::header::HOST, unsigned.host.as_value().clone());
        for (name, value) in &unsigned.headers {
            headers.append(name, value.clone());
        }
        // AWS refuses an x-amz-* header that is not signed.
        let selected =
            canonical::select(&headers, unsigned.host.as_value(), |name| name.as_str().starts_with("x-amz-"));
        let mut parameters = Vec::new();
        self.push_parameters(&mut parameters, &state, credentials, &selected)?;
        let token = credentials.session_token();
        if let (Some(token), QueryToken::Signed) = (token, placement) {
            push_token(&mut parameters, token);
        }
        let signed_target =
            unsigned.target.with_parameters(&parameters).ok_or(SigningError::CredentialsNotPrintable)?;
        state.canonical_request.clear();
        canonical::request(
            &mut state.canonical_request,
            &unsigned.method,
            &signed_target,
            &selected,
            self.scope.encoding(),
            unsigned.payload.signed_as(),
        );
        drop(selected);
        parameters.extend(b"&X-Amz-Signature=");
        parameters.extend(state.signature()?);
        if let (Some(token), QueryToken::Appended) = (token, placement) {
            push_token(&mut parameters, token);
        }
        let target =
            unsigned.target.with_parameters(&parameters).ok_or(SigningError::CredentialsNotPrintable)?;
        let explanation = Explanation {
            canonical_request: state.canonical_request.clone(),
            string_to_sign: String::from_utf8_lossy(&state.string_to_sign).into_owned(),
        };
        let (method, host) = (unsigned.method.clone(), unsigned.host.clone());
        let payload = unsigned.payload.clone();
        Ok((SignedRequest { method, target, host, headers, payload }, explanation))
    }

    /// Appends the parameters that are signed, without the token.
    fn push_parameters(
        &self,
        out: &mut Vec<u8>,
        state: &SigningState,
        credentials: &Credentials,
        selected: &canonical::Selected<'_>,
    ) -> Result<(), SigningError> {
        let (timestamp, key) = state.prepared()?;
        out.extend(b"X-Amz-Algorithm=");
        out.extend(key.algorithm().as_bytes());
        out.extend(b"&X-Amz-Credential=");
        let credential = format!("{}/{}", credentials.access_key_id(), key.scope());
        extend_encoded(out, credential.as_bytes(), RESERVED);
        out.extend(b"&X-Amz-Date=");
        out.extend(timestamp.date_time().as_bytes());
        out.extend(b"&X-Amz-Expires=");
        out.extend(EXPIRES.as_bytes());
        if let SigningRegion::Set(set) = &self.scope.region {
            out.extend(b"&X-Amz-Region-Set=");
            extend_encoded(out, set.as_str().as_bytes(), RESERVED);
        }
        out.extend(b"&X-Amz-SignedHeaders=");
        let names: String = canonical::signed_names(selected).collect();
        extend_encoded(out, names.as_bytes(), RESERVED);
        Ok(())
    }
}

fn push_token(out: &mut Vec<u8>, token: &str) {
    out.extend(b"&X-Amz-Security-Token=");
    extend_encoded(out, token.as_bytes(), RESERVED);
}
