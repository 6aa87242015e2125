//! A signature that is right, of a caller who is not allowed: by which policy, and what would allow it.

use serde::Serialize;

use super::{Details, Evidence, Meaning, answer::AnsweredBy, request::SignedFacts};

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

/// `User: P is not authorized to perform: A on resource: R with an explicit deny in an identity-based policy`
struct Denial<'a> {
    principal: Principal<'a>,
    action: &'a str,
    resource: &'a str,
    is_explicit: bool,
    /// The policy that the gateway names.
    policy: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy)]
struct Principal<'a>(&'a str);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<AwsPrincipal>,
    action: &'a str,
    resource: &'a str,
}

#[derive(Serialize)]
struct AwsPrincipal {
    #[serde(rename = "AWS")]
    arn: String,
}

/// Denials whose words say what is denied.
pub(super) fn denied(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, request } = evidence;
    if words.says("function url authorization") {
        return Some(function_url());
    }
    if words.says("is not authorized to perform") {
        let denial = Denial::parse(evidence)?;
        // A REST API gives its own denials a type. Without one, an application passes on what it was denied itself.
        let is_of_gateway =
            words.has_type() || denial.action.starts_with(&format!("{}:", request.scope.service));
        return (is_of_gateway || head.answered_by() == AnsweredBy::Saved).then(|| denial.meaning(request));
    }
    if matches!(request.scope.service.as_str(), "es" | "aoss") && words.says("no permissions for [") {
        return Some(Meaning::new(
            "denied",
            "OpenSearch knows the role, and none of the OpenSearch roles that it is mapped to allows the action",
            "map the ARN of the role, as a backend role, to a role of OpenSearch that has the permission",
        ));
    }
    if words.says("user is not authorized to access this resource") {
        let how = if words.says("explicit deny") { "denies" } else { "does not allow" };
        return Some(Meaning::new(
            "authorizer-denied",
            format!(
                "the policy that a Lambda authorizer returned {how} the request; this method does not use AWS_IAM"
            ),
            "correct the policy that the authorizer returns, or set the authorization of the method to AWS_IAM and \
             deploy the API",
        ));
    }
    None
}

/// Denials of which nothing is known but that they are.
pub(super) fn denied_without_reason(evidence: &Evidence<'_>) -> Option<Meaning> {
    let Evidence { head, words, request } = evidence;
    let service = request.scope.service.as_str();
    if service == "appsync"
        && words.typed(&["UnauthorizedException", "Unauthorized", "AccessDeniedException"])
    {
        return Some(Meaning::new(
            "denied",
            "AppSync does not let the role call the API: no policy allows appsync:GraphQL, or the API has no IAM \
             authorization",
            "allow appsync:GraphQL on the API's ARN in a policy of the role, and add AWS_IAM to the authorization \
             modes of the API",
        )
        .with(Details { action: Some("appsync:GraphQL".to_owned()), ..Details::default() }));
    }
    if let Some(names) = words.element("HeadersNotSigned").filter(|_| words.typed(&["AccessDenied"])) {
        return Some(Meaning::new(
            "authorization-rewritten",
            format!("something on the way added headers that the signature does not cover: {names}"),
            "let no proxy between here and S3 add x-amz headers",
        ));
    }
    let is_denial = words.typed(&["AccessDeniedException", "AccessDenied"]);
    if service == "lambda" && is_denial && words.says_nothing() {
        return Some(Meaning::new(
            "no-such-route",
            "there is no function with this URL",
            "compare the setting upstream with the function URL in the Lambda console",
        ));
    }
    (is_denial && head.is(403)).then(|| {
        Meaning::new(
            "denied",
            "a policy denies the request, and the answer does not say which",
            format!(
                "allow the action in a policy of the role, and look for a Deny in the resource policy and in the \
                 policies of the organization ({service})"
            ),
        )
    })
}

fn function_url() -> Meaning {
    Meaning::new(
        "function-url",
        "the role is not allowed to call the function URL",
        "allow both lambda:InvokeFunctionUrl and lambda:InvokeFunction on the function, in a policy of the role or in \
         the function's own policy",
    )
}

impl<'a> Denial<'a> {
    fn parse(evidence: &'a Evidence<'_>) -> Option<Self> {
        let words = evidence.words;
        let policy = POLICIES.iter().find(|(needle, ..)| words.says(needle));
        Some(Self {
            principal: Principal(words.word_after("User: ").unwrap_or("the caller")),
            action: words.word_after("authorized to perform: ")?,
            resource: words.word_after("on resource: ").unwrap_or("*"),
            is_explicit: words.says("explicit deny"),
            policy: policy.map(|&(_, name, called)| (name, called)),
        })
    }

    fn meaning(&self, request: &SignedFacts) -> Meaning {
        let resource = self.resource_to_allow();
        let details = Details {
            action: Some(self.action.to_owned()),
            resource: Some(self.resource.to_owned()),
            principal: Some(self.principal.0.to_owned()),
            ..Details::default()
        };
        let what = format!("{} is not allowed {} on {}", self.principal.called(), self.action, self.resource);
        if self.principal.0 == "anonymous" {
            return self.anonymous(request).with(details);
        }
        if self.is_explicit {
            return self.explicit(&what).with(details);
        }
        let (name, called) = self.policy.unwrap_or(("denied", "a policy of the role"));
        if name == "session-policy" {
            return self.session_policy(&what).with(details);
        }
        let principal = if name == "resource-policy" { self.principal.to_allow() } else { None };
        let statement = Statement { effect: "Allow", principal, action: self.action, resource: &resource };
        // A statement on an action or a resource of another shape would be no valid policy.
        let is_valid = self.action.contains(':') && resource.starts_with("arn:");
        let policy = serde_json::to_string(&statement).ok().filter(|_| is_valid);
        let statement = policy.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        let meaning = match name {
            "resource-policy" => Meaning::new(
                name,
                format!("{what}: {called} does not allow it"),
                format!("add a statement to {called} and deploy the API{statement}"),
            ),
            "denied" => Meaning::new(
                name,
                format!("{what}: no policy allows it"),
                format!("add a statement to a policy of {}{statement}", self.principal.called()),
            ),
            _ => Meaning::new(
                name,
                format!("{what}: {called} does not allow it, whatever the role's own policies allow"),
                format!("add a statement to {called}{statement}"),
            ),
        };
        meaning.with(Details { policy, ..details })
    }

    fn explicit(&self, what: &str) -> Meaning {
        let place = self.policy.map_or(
            "the policies of the role, the resource policy of the API, or the policies of the organization",
            |(_, called)| called,
        );
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
                    "the resource policy of the API does not allow {} on {} to callers without an identity: the \
                     authorization of the method is not AWS_IAM, so that the signature does not count",
                    self.action, self.resource
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
    fn resource_to_allow(&self) -> String {
        let mut parts: Vec<&str> = self.resource.splitn(6, ':').collect();
        let Some(tail) = parts.get(4).and_then(|account| account.strip_prefix('*')) else {
            return self.resource.to_owned();
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
    fn to_allow(self) -> Option<AwsPrincipal> {
        let arn = match (self.role(), self.part(1), self.account()) {
            (Some(role), Some(partition), Some(account)) => {
                format!("arn:{partition}:iam::{account}:role/{role}")
            }
            _ => self.0.to_owned(),
        };
        Some(AwsPrincipal { arn })
    }
}
