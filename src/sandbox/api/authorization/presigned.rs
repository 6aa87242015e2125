//! The signature of a presigned URL, which stands in `X-Amz-…` parameters of the query.

use std::borrow::Cow;

use super::{AwsError, Claim, Pairs, Place, incomplete};

/// Seconds that a signature may be valid: seven days.
const MAX_EXPIRES: u64 = 7 * 24 * 3600;
/// Seconds that a signature is valid where the query does not say it, as for one in a header.
const DEFAULT_EXPIRES: u64 = 5 * 60;

/// What a query with `X-Amz-Algorithm` says of its signature.
pub(super) fn claim<'a>(query: &Pairs) -> Result<Claim<'a>, AwsError> {
    let find = |name: &str| query.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let names =
        ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];
    let values = names.map(find);
    let [Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(timestamp)] = values
    else {
        let absent = names.iter().zip(&values).filter(|(_, value)| value.is_none());
        let sentences =
            absent.map(|(name, _)| format!("AWS query-string parameters must include '{name}'. "));
        let sentences: String = sentences.collect();
        return Err(incomplete(format!("{sentences}Re-examine the query-string parameters.")));
    };
    let expires = match query.get("X-Amz-Expires") {
        None => DEFAULT_EXPIRES,
        Some(text) => text.parse().ok().filter(|seconds| *seconds <= MAX_EXPIRES).ok_or_else(|| {
            incomplete(format!(
                "X-Amz-Expires must be a number of seconds up to {MAX_EXPIRES}. Got '{text}'."
            ))
        })?,
    };
    Ok(Claim {
        algorithm: algorithm.into(),
        credential: credential.into(),
        signed_headers: signed_headers.into(),
        signature: signature.into(),
        timestamp: timestamp.into(),
        session_token: find("X-Amz-Security-Token").map(Cow::Owned),
        place: Place::Query { expires },
    })
}
