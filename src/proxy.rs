//! One exchange, from admission to the last byte of the answer, and what the proxy itself answers.
//!
//! `exchange` is the walk of a request on one page. This module knows the faces of both wires and nothing of sockets.

mod access_log;
mod admission;
mod attempt;
mod error;
mod exchange;
mod future_pool;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod meaning;
mod outcome;
mod request;
mod request_id;
mod response;
mod service;
pub mod settings;
mod signing_client;
mod websocket;
mod worker_proxies;

pub use access_log::{AccessLog, AccessLogLayer};
pub use admission::{Guard, Refusal, Token};
pub use attempt::send::Sent;
pub use error::{ProxyError, no_room};
pub use exchange::Proxy;
pub use future_pool::FuturePool;
pub use meaning::{AnswerHead, Details, Difference, MAX_READ, Meaning, SignedFacts};
pub use request::{
    body::Budget,
    plan::{Plan, Ready},
    route::BuildError,
};
pub use request_id::RequestId;
pub use response::body::Body;
pub use service::forward;
pub use settings::{
    GuardSettings, Limits, PayloadSigning, RouteSettings, Settings, Timeouts, WebsocketSigning,
};
pub use signing_client::SigningClient;
pub(crate) use websocket::client::{ApiEnd, ClientHandshake, Connected};
pub use worker_proxies::{ProxyHandle, WorkerProxies};

pub use crate::upstream::{Resolver, TrustError};
