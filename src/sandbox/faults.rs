//! Faults that tests plan for the services, and counts of the calls of each operation.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Service, api::GatewayError};

/// The name under which the API's requests are counted and disturbed.
pub const INVOKE: &str = "Invoke";
/// The name under which handshakes of WebSocket connections are disturbed, before the faults of [`INVOKE`].
pub const CONNECT: &str = "$connect";

/// How a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error answer in AWS's words: 400 from Cognito, 403 from the API.
    Error {
        /// `NotAuthorizedException` for example.
        code: String,
        /// The text that goes with it.
        message: String,
    },
    /// An answer with this status: an internal error from Cognito, `{"message":null}` from the API.
    Status(u16),
    /// An error of API Gateway. At Cognito, which has none of these, it is the same answer.
    Gateway(GatewayError),
    /// The answer comes after this long.
    Delay(Duration),
    /// The call takes effect at once, and its answer comes after this long. Elsewhere than at the user pool, as
    /// [`Fault::Delay`].
    Late(Duration),
    /// An HTML page of a proxy in front of the service, with this status and title.
    Page(u16, String),
    /// No answer, ever; the connection stays open.
    Hang,
    /// The connection closes before the answer.
    Disconnect,
    /// The connection closes in the middle of the answer's body.
    Truncate,
    /// A 200 with truncated JSON.
    MalformedJson,
    /// A 101 for another key than the client's. Changes nothing where no WebSocket connection is opened.
    WrongAccept,
    /// A WebSocket connection that closes after so many messages of the client; with 1006, without a Close frame.
    /// Changes nothing where none is opened.
    CloseAfter {
        /// Messages that are still answered.
        messages: u32,
        /// The code of the Close frame.
        code: u16,
    },
}

/// The planned faults, which can change at run time; clones share them.
///
/// Operations are named as AWS names them, `InitiateAuth` or `GetCredentialsForIdentity`, and
/// [`INVOKE`] is any request to the API.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    plans: Arc<Mutex<BTreeMap<Calling, VecDeque<Planned>>>>,
    /// The service that asks, for the faults of all its operations.
    service: Option<Service>,
}

/// What a fault is planned for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Calling {
    /// Every call of a service, after the faults of the operation.
    Service(Service),
    /// A call of this operation.
    Operation(String),
}

/// A fault that has not come yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) fault: Fault,
    /// Calls left; `None` is until cleared.
    pub(super) times: Option<u32>,
}

impl Fault {
    /// An error answer in AWS's words.
    #[must_use]
    pub fn error(code: &str, message: &str) -> Self {
        Self::Error { code: code.to_owned(), message: message.to_owned() }
    }

    /// `TooManyRequestsException`.
    #[must_use]
    pub fn throttled() -> Self {
        Self::error("TooManyRequestsException", "Rate exceeded")
    }

    /// The API's answer to credentials that have expired.
    #[must_use]
    pub fn expired_token() -> Self {
        Self::error("ExpiredTokenException", "The security token included in the request is expired")
    }
}

impl Faults {
    /// Plans a fault for the next `times` calls of `operation`, after those that are planned already.
    pub fn next(&self, operation: &str, times: u32, fault: Fault) {
        self.plan(Calling::Operation(operation.to_owned()), Planned { fault, times: Some(times) });
    }

    /// Plans a fault for every call of `operation`, until it is cleared.
    pub fn always(&self, operation: &str, fault: Fault) {
        self.plan(Calling::Operation(operation.to_owned()), Planned { fault, times: None });
    }

    /// Drops what is planned for `operation`.
    pub fn clear(&self, operation: &str) {
        self.lock().remove(&Calling::Operation(operation.to_owned()));
    }

    /// Drops everything that is planned.
    pub fn clear_all(&self) {
        self.lock().clear();
    }

    /// The same faults as one service meets them.
    pub(super) fn of(&self, service: Service) -> Self {
        Self { plans: self.plans.clone(), service: Some(service) }
    }

    pub(super) fn plan(&self, calling: Calling, planned: Planned) {
        if planned.times != Some(0) {
            self.lock().entry(calling).or_default().push_back(planned);
        }
    }

    /// What is planned, in the order in which it comes.
    pub(super) fn planned(&self) -> Vec<(Calling, Planned)> {
        let plans = self.lock();
        let each = |(calling, queue): (&Calling, &VecDeque<Planned>)| {
            queue.iter().map(|planned| (calling.clone(), planned.clone())).collect::<Vec<_>>()
        };
        plans.iter().flat_map(each).collect()
    }

    /// The delay of the response to `operation`, if a delay is planned next.
    pub(super) fn take_lateness(&self, operation: &str) -> Option<Duration> {
        let operation = Calling::Operation(operation.to_owned());
        let mut plans = self.lock();
        let queue = plans.get_mut(&operation)?;
        let Fault::Late(time) = queue.front()?.fault else { return None };
        take_first(queue);
        Some(time)
    }

    pub(super) fn take(&self, operation: &str) -> Option<Fault> {
        let mut plans = self.lock();
        let callings = [Some(Calling::Operation(operation.to_owned())), self.service.map(Calling::Service)];
        callings.into_iter().flatten().find_map(|calling| take_first(plans.get_mut(&calling)?))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Calling, VecDeque<Planned>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_first(queue: &mut VecDeque<Planned>) -> Option<Fault> {
    let planned = queue.front_mut()?;
    let fault = planned.fault.clone();
    if let Some(times) = &mut planned.times {
        *times = times.saturating_sub(1);
        if *times == 0 {
            queue.pop_front();
        }
    }
    Some(fault)
}

/// How often each operation was called, faults included; clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<HashMap<String, u64>>>);

impl Calls {
    /// Calls of `operation` since the start or the last [`Calls::clear`].
    #[must_use]
    pub fn count(&self, operation: &str) -> u64 {
        self.lock().get(operation).copied().unwrap_or(0)
    }

    /// Calls of all operations together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock().values().sum()
    }

    /// Starts counting from zero.
    pub fn clear(&self) {
        self.lock().clear();
    }

    pub(super) fn add(&self, operation: &str) {
        *self.lock().entry(operation.to_owned()).or_default() += 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_faults_come_in_order_and_end() {
        let faults = Faults::default();
        faults.next("GetId", 2, Fault::Hang);
        faults.next("GetId", 1, Fault::Disconnect);
        let taken: Vec<_> = (0..4).map(|_| faults.take("GetId")).collect();
        assert_eq!(taken, [Some(Fault::Hang), Some(Fault::Hang), Some(Fault::Disconnect), None]);
    }

    #[test]
    fn a_standing_fault_lasts_until_it_is_cleared() {
        let faults = Faults::default();
        faults.always("GetId", Fault::Status(500));
        assert_eq!(faults.take("GetId"), Some(Fault::Status(500)));
        assert_eq!(faults.take("GetId"), Some(Fault::Status(500)));
        assert_eq!(faults.take("InitiateAuth"), None);
        faults.clear("GetId");
        assert_eq!(faults.take("GetId"), None);
    }

    #[test]
    fn a_fault_of_a_service_disturbs_its_calls_alone_and_after_those_of_the_operation() {
        let faults = Faults::default();
        let planned = Planned { fault: Fault::Status(500), times: Some(1) };
        faults.plan(Calling::Service(Service::UserPool), planned);
        faults.next("GetUser", 1, Fault::Hang);
        assert_eq!(faults.of(Service::IdentityPool).take("GetId"), None);
        let user_pool = faults.of(Service::UserPool);
        let taken: Vec<_> = (0..3).map(|_| user_pool.take("GetUser")).collect();
        assert_eq!(taken, [Some(Fault::Hang), Some(Fault::Status(500)), None]);
    }
}
