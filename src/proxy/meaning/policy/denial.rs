//! A denial in IAM's words: by which policy, and what would allow it.

use super::statement;
use crate::proxy::meaning::{Details, Evidence, Meaning, SignedFacts};

/// Bytes of a statement at most, which leave room for the words before it.
const MAX_STATEMENT: usize = 1800;

/// The kinds of policy that a denial may name, in lower case; the name of its meaning; and what it is called.
const POLICIES: [(&str, &str, &str); 7] = [
    ("session policy", "session-policy", "the session policy of the credentials"),
    ("permissions boundary", "permissions-boundary", "the permissions boundary of the role"),
    ("service control policy", "service-control-policy", "a service control policy of the organization"),
    ("resource control policy", "resource-control-policy", "a resource control policy of the organization"),
    ("vpc endpoint policy", "vpc-endpoint-policy", "the policy of the VPC endpoint"),
    ("resource-based policy", "resource-policy", "the resource policy of the API"),
    ("identity-based policy", "denied", "a policy of the role"),
];

/// What services other than API Gateway have, a bucket policy for example.
const RESOURCE_POLICY: &str = "the policy of the resource";

/// `User: P is not authorized to perform: A on resource: R with an explicit deny in an identity-based policy`
pub(super) struct Denial<'a> {
    principal: Principal<'a>,
    pub(super) action: &'a str,
    resource: Option<&'a str>,
    is_explicit: bool,
    /// The policy that the gateway names.
    policy: Option<(&'static str, &'static str)>,
    /// The clause that the gateway gives as its reason.
    reason: Option<&'a str>,
}

#[derive(Clone, Copy)]
struct Principal<'a>(&'a str);

impl<'a> Denial<'a> {
    pub(super) fn parse(evidence: &'a Evidence<'_>) -> Option<Self> {
        let words = evidence.words;
        let policy = POLICIES.iter().find(|(needle, ..)| words.says(needle));
        Some(Self {
            principal: Principal(words.word_after("User: ").unwrap_or("the caller")),
            action: words.word_after("authorized to perform: ")?,
            resource: words.word_after("on resource: "),
            is_explicit: words.says("explicit deny"),
            policy: policy.map(|&(_, name, called)| (name, called)),
            reason: words.message().split_once(" because ").map(|(_, reason)| reason.trim_end_matches('.')),
        })
    }

    pub(super) fn meaning(&self, request: &SignedFacts) -> Meaning {
        let details = Details {
            action: Some(self.action.to_owned()),
            resource: self.resource.map(str::to_owned),
            principal: Some(self.principal.0.to_owned()),
            ..Details::default()
        };
        let what = format!("{} is not allowed {}{}", self.principal.called(), self.action, self.on());
        if self.principal.0 == "anonymous" {
            return self.anonymous(request).with(details);
        }
        if self.is_explicit {
            return self.explicit(&what, request).with(details);
        }
        if let Some(meaning) = self.other_reason(&what) {
            return meaning.with(details);
        }
        if let Some(("session-policy", _)) = self.policy {
            return self.session_policy(&what).with(details);
        }
        let policy = self.allowing();
        self.missing(&what, policy.as_deref(), request).with(Details { policy, ..details })
    }

    fn on(&self) -> String {
        self.resource.map(|resource| format!(" on {resource}")).unwrap_or_default()
    }

    /// A reason that is not one of [`POLICIES`], in the gateway's words: a setting, a missing resource, or a kind of policy
    /// that only one service has.
    fn other_reason(&self, what: &str) -> Option<Meaning> {
        let reason = self.reason?;
        let Some(lacking) = reason.strip_prefix("no ") else {
            let cure = "change what the reason names; a statement that allows it may not be enough";
            return Some(Meaning::new("denied", format!("{what}: {reason}"), cure));
        };
        let kind =
            lacking.split(" allow").next().filter(|kind| self.policy.is_none() && kind.contains("policy"))?;
        let cause = format!("{what}: no {kind} allows it");
        Some(Meaning::new("denied", cause, format!("add a statement that allows it to the {kind}")))
    }

    /// No statement allows it, and none denies it.
    fn missing(&self, what: &str, statement: Option<&str>, request: &SignedFacts) -> Meaning {
        let statement = statement.map(|text| format!(": {text}")).unwrap_or_default();
        match self.policy {
            None | Some(("denied", _)) => Meaning::new(
                "denied",
                format!("{what}: no policy allows it"),
                format!("add a statement to a policy of {}{statement}", self.principal.called()),
            ),
            Some((name @ "resource-policy", called)) if request.scope.service == "execute-api" => {
                Meaning::new(
                    name,
                    format!("{what}: {called} does not allow it"),
                    format!("add a statement to {called} and deploy the API{statement}"),
                )
            }
            Some((name @ "resource-policy", _)) => Meaning::new(
                name,
                format!("{what}: {RESOURCE_POLICY} does not allow it"),
                format!("add a statement to {RESOURCE_POLICY}{statement}"),
            ),
            Some((name, called)) => Meaning::new(
                name,
                format!("{what}: {called} does not allow it, whatever the role's own policies allow"),
                format!("add a statement to {called}{statement}"),
            ),
        }
    }

    /// A statement that allows it; `None` where action or resource would make no valid policy, or one that is cut off.
    fn allowing(&self) -> Option<String> {
        let resource = self.resource_to_allow(self.resource?);
        if !self.action.contains(':') || !resource.starts_with("arn:") {
            return None;
        }
        let is_of_resource = matches!(self.policy, Some(("resource-policy", _)));
        let principal = is_of_resource.then(|| self.principal.to_allow());
        Some(statement(principal.as_deref(), self.action, &resource))
            .filter(|text| text.len() <= MAX_STATEMENT)
    }

    fn explicit(&self, what: &str, request: &SignedFacts) -> Meaning {
        let place = match self.policy {
            Some(("resource-policy", _)) if request.scope.service != "execute-api" => RESOURCE_POLICY,
            Some((_, called)) => called,
            None if request.scope.service == "execute-api" => {
                "the policies of the role, the resource policy of the API, or the policies of the organization"
            }
            None => {
                "the policies of the role, the policy of the resource, or the policies of the organization"
            }
        };
        Meaning::new(
            "explicit-deny",
            format!("{what}: a statement with the effect Deny in {place} forbids it"),
            format!(
                "find the Deny in {place} and narrow it, its conditions (source address, VPC endpoint) included; a \
                 statement that allows it changes nothing"
            ),
        )
    }

    /// Cognito limits the credentials of guests in the enhanced flow to a list of services.
    fn session_policy(&self, what: &str) -> Meaning {
        Meaning::new(
            "session-policy",
            format!(
                "{what}: the session policy of the credentials does not allow it, which Cognito adds for guests in \
                 the enhanced flow"
            ),
            "sign in as a user, or choose the classic flow with the setting classic-flow-role-arn; the role's own \
             policy changes nothing",
        )
    }

    /// The gateway looked at no signature.
    fn anonymous(&self, request: &SignedFacts) -> Meaning {
        if request.scope.service == "execute-api" {
            return Meaning::new(
                "resource-policy",
                format!(
                    "the resource policy of the API does not allow {}{} to callers without an identity: the \
                     authorization of the method is not AWS_IAM, so that the signature does not count",
                    self.action,
                    self.on()
                ),
                "set the authorization of the method to AWS_IAM, or let the resource policy allow this address or VPC \
                 endpoint, and deploy the API",
            );
        }
        Meaning::new(
            "resource-policy",
            format!(
                "the signature did not arrive, and the resource policy does not allow {} to everyone",
                self.action
            ),
            "check that the upstream is the service itself, and that no proxy on the way removes Authorization",
        )
    }

    /// The resource with the account that the gateway masks (`********9012`).
    fn resource_to_allow(&self, resource: &str) -> String {
        let mut parts: Vec<&str> = resource.splitn(6, ':').collect();
        let Some(tail) = parts.get(4).and_then(|account| account.strip_prefix('*')) else {
            return resource.to_owned();
        };
        let tail = tail.trim_start_matches('*');
        let own = self.principal.account().filter(|account| !tail.is_empty() && account.ends_with(tail));
        parts[4] = own.unwrap_or("*");
        parts.join(":")
    }
}

impl<'a> Principal<'a> {
    fn part(self, number: usize) -> Option<&'a str> {
        self.0.starts_with("arn:").then(|| self.0.splitn(6, ':').nth(number)).flatten()
    }

    fn account(self) -> Option<&'a str> {
        self.part(4).filter(|account| !account.is_empty())
    }

    /// The name of the role that an assumed role's session has.
    fn role(self) -> Option<&'a str> {
        self.part(5)?.strip_prefix("assumed-role/")?.split('/').next()
    }

    /// As people call it.
    fn called(self) -> String {
        let user = || self.part(5)?.strip_prefix("user/")?.rsplit('/').next();
        match (self.role(), user()) {
            (Some(role), _) => format!("the role {role}"),
            (None, Some(user)) => format!("the user {user}"),
            (None, None) => self.0.to_owned(),
        }
    }

    /// As a resource policy names it. A session's ARN does not tell the path of its role.
    fn to_allow(self) -> String {
        match (self.role(), self.part(1), self.account()) {
            (Some(role), Some(partition), Some(account)) => {
                format!("arn:{partition}:iam::{account}:role/{role}")
            }
            _ => self.0.to_owned(),
        }
    }
}
