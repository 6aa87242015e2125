//! A user pool for unit tests, which answers from a list and records the requests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{RefreshGrant, UserPoolClient};
use crate::{
    clock::Clock,
    credentials::{AuthFlow, UserPool},
};

pub(in crate::credentials) const NOW: u64 = 1_793_610_307;

/// A user pool that answers from a list and records the requests.
#[derive(Clone, Debug, Default)]
pub(in crate::credentials) struct Script {
    answers: Arc<Mutex<VecDeque<HttpResponse>>>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Script {
    pub(in crate::credentials) fn new(answers: impl IntoIterator<Item = HttpResponse>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
    }

    pub(in crate::credentials) fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().expect("not poisoned").clone()
    }

    pub(in crate::credentials) fn client(&self, pool: UserPool) -> UserPoolClient {
        UserPoolClient::new(pool, SharedHttpConnector::new(self.clone()), clock())
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        assert_eq!(request.uri(), "http://pool.test/");
        let operation = request.headers().get("x-amz-target").expect("a target").to_owned();
        let body = serde_json::from_slice(request.body().bytes().expect("in memory")).expect("JSON");
        self.requests.lock().expect("not poisoned").push((operation, body));
        match self.answers.lock().expect("not poisoned").pop_front() {
            Some(answer) => HttpConnectorFuture::ready(Ok(answer)),
            None => HttpConnectorFuture::new(std::future::pending()),
        }
    }
}

pub(in crate::credentials) fn clock() -> Clock {
    Clock::from_source(StaticTimeSource::new(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)))
}

pub(in crate::credentials) fn pool() -> UserPool {
    UserPool {
        id: "eu-west-1_AbCdEf123".parse().expect("valid"),
        client_id: "client".to_owned(),
        client_secret: Some(SecretString::from("s3cret")),
        username: None,
        password: None,
        auth_flow: AuthFlow::Srp,
        totp_secret: None,
        endpoint: "http://pool.test".to_owned(),
        domain: None,
        redirect_port: 8976,
        state_dir: None,
        login_provider: None,
    }
}

pub(in crate::credentials) fn answer(status: u16, body: &Value) -> HttpResponse {
    HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body.to_string()))
}

pub(in crate::credentials) fn refused(code: &str, message: &str) -> HttpResponse {
    answer(400, &json!({"__type": code, "message": message}))
}

pub(in crate::credentials) fn token(username: &str) -> String {
    let claims = json!({"iss": "https://pool.test/eu-west-1_AbCdEf123", "sub": "sub-1", "exp": NOW + 3600,
        "cognito:username": username});
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

pub(in crate::credentials) fn tokens(refresh_token: Option<&str>) -> HttpResponse {
    answer(
        200,
        &json!({"AuthenticationResult": {"AccessToken": "access", "IdToken": token("internal"),
            "RefreshToken": refresh_token, "ExpiresIn": 3600, "TokenType": "Bearer"}}),
    )
}

pub(in crate::credentials) fn grant() -> RefreshGrant {
    RefreshGrant {
        refresh_token: SecretString::from("refresh-1"),
        username: "internal".to_owned(),
        device: None,
    }
}
