//! Sign-in at a Cognito user pool, renewal of its tokens, and their revocation.

mod srp;
