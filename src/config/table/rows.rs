//! The rows of the table of settings.

use super::{
    Group::{self, Clients, Credentials, Limits, Process, Sandbox, Upstream},
    Kind::{self, List, Number, SecretFile, Size, Switch, Text},
    Setting, Use,
};

const PROXY: &[Use] = &[Use::Serve, Use::Exec, Use::Sandbox];
const ADMIN: &[Use] = &[Use::Serve, Use::Exec, Use::Sandbox, Use::Healthcheck];
const TARGET: &[Use] = &[Use::Serve, Use::Exec, Use::Call];
const EVERY_REQUEST: &[Use] = &[Use::Serve, Use::Exec, Use::Sandbox, Use::Call];
const SIGNED_IN: &[Use] = &[Use::Serve, Use::Exec, Use::Session, Use::Credentials, Use::Call];
const LOGGED: &[Use] = &[Use::Serve, Use::Exec, Use::Sandbox, Use::Session, Use::Credentials, Use::Call];
const UNTIL_A_SIGNAL: &[Use] = &[Use::Serve, Use::Sandbox];
const SANDBOX: &[Use] = &[Use::Sandbox];

/// Every setting, in the order in which help and the example file have them.
#[rustfmt::skip]
pub static SETTINGS: &[Setting] = &[
    row(Clients, PROXY, Text, "listen", "ADDRESS", "localhost:8181",
        "Address for clients: localhost:PORT, IP:PORT or unix:/path"),
    row(Clients, ADMIN, Text, "admin-listen", "ADDRESS", "localhost:8182",
        "Address for health, metrics, status and inspector, or off"),
    row(Clients, PROXY, SecretFile, "admin-token-file", "FILE", "",
        "File with the token that lets other users ask for /status, /quitquitquit and /inspect"),
    row(Clients, PROXY, Text, "inspect", "WHAT", "off",
        "What the inspector keeps of requests: off, heads or bodies"),
    row(Clients, PROXY, List, "inspect-redact", "NAME", "",
        "Further header, query parameter or body field whose value the inspector does not keep"),
    row(Clients, PROXY, List, "allow-origin", "ORIGIN", "",
        "Origin of a page that may call the proxy from a browser"),
    row(Clients, PROXY, List, "allow-host", "NAME", "",
        "Additional name that clients may use for the proxy"),
    row(Clients, PROXY, SecretFile, "bearer-token-file", "FILE", "",
        "File with the token that clients must present"),
    row(Clients, PROXY, Switch, "allow-unauthenticated", "BOOL", "false",
        "Allow a non-loopback listener without a bearer token"),
    row(Clients, PROXY, Switch, "allow-other-users", "BOOL", "false",
        "Allow other users of this machine without a bearer token"),
    row(Clients, PROXY, Switch, "trust-documents", "BOOL", "false",
        "Allow pages that the API serves to run scripts on the proxy's origin"),
    row(Upstream, TARGET, Text, "upstream", "URL", "",
        "Base URL of the API, including its stage and path prefix"),
    row(Upstream, TARGET, Text, "region", "REGION", "",
        "Region to sign for, if the upstream's host does not name one"),
    row(Upstream, TARGET, Text, "service", "NAME", "",
        "Service to sign for, if the upstream's host does not name one [default: execute-api]"),
    row(Upstream, TARGET, Text, "sign-host", "HOST", "",
        "Host to sign and send instead of the upstream's"),
    row(Upstream, EVERY_REQUEST, List, "set-header", "NAME=VALUE", "",
        "Header to set on each request; NAME=@FILE reads the value from a file"),
    row(Upstream, PROXY, List, "strip-header", "NAME", "",
        "Header to remove from each request"),
    row(Upstream, TARGET, Text, "ca-file", "FILE", "",
        "PEM file with additional trusted roots for the upstream"),
    row(Credentials, SIGNED_IN, Text, "amplify-outputs", "FILE", "",
        "Amplify's amplify_outputs.json, for the pools and the upstream that are not set"),
    row(Credentials, SIGNED_IN, Text, "credentials", "SOURCE", "cognito",
        "Source of credentials: cognito, guest (no sign-in) or aws (the SDK's default chain)"),
    row(Credentials, SIGNED_IN, Text, "user-pool-id", "ID", "",
        "User pool, such as eu-west-1_AbCdEf123"),
    row(Credentials, SIGNED_IN, Text, "client-id", "ID", "",
        "App client of the user pool"),
    row(Credentials, SIGNED_IN, SecretFile, "client-secret-file", "FILE", "",
        "File with the app client's secret"),
    row(Credentials, SIGNED_IN, Text, "identity-pool-id", "ID", "",
        "Identity pool, such as eu-west-1:01234567-89ab-cdef-0123-456789abcdef"),
    row(Credentials, SIGNED_IN, Text, "username", "NAME", "",
        "User to sign in as without a terminal"),
    row(Credentials, SIGNED_IN, SecretFile, "password-file", "FILE", "",
        "File with the user's password"),
    row(Credentials, SIGNED_IN, Text, "auth-flow", "FLOW", "srp",
        "Sign-in flow: srp, password, custom or user-auth"),
    row(Credentials, SIGNED_IN, SecretFile, "totp-secret-file", "FILE", "",
        "File with the base32 secret for TOTP codes"),
    row(Credentials, SIGNED_IN, Text, "domain", "HOST", "",
        "Managed-login domain of the user pool, for login --browser"),
    row(Credentials, SIGNED_IN, Number, "redirect-port", "PORT", "8976",
        "Port of the redirect URI that is registered with the app client"),
    row(Credentials, SIGNED_IN, Text, "id-token-file", "FILE", "",
        "File with an ID token that another program keeps fresh"),
    row(Credentials, SIGNED_IN, Text, "login-provider", "NAME", "",
        "Key in the identity pool's Logins [default: the token's iss without its scheme]"),
    row(Credentials, SIGNED_IN, Text, "custom-role-arn", "ARN", "",
        "Role to request in the enhanced flow"),
    row(Credentials, SIGNED_IN, Text, "classic-flow-role-arn", "ARN", "",
        "Role to assume in the classic flow"),
    row(Limits, EVERY_REQUEST, Size, "max-body", "SIZE", "10MiB",
        "Maximum size of a request body"),
    row(Limits, PROXY, Size, "body-memory", "SIZE", "64MiB",
        "Maximum memory for all buffered bodies together"),
    row(Limits, PROXY, Number, "max-connections", "COUNT", "1024",
        "Maximum number of client connections"),
    row(Limits, PROXY, Number, "max-in-flight", "COUNT", "256",
        "Maximum number of requests waiting for the upstream's response"),
    row(Limits, EVERY_REQUEST, Text, "connect-timeout", "DURATION", "3s",
        "Maximum time to connect to the upstream"),
    row(Limits, EVERY_REQUEST, Text, "response-timeout", "DURATION", "60s",
        "Maximum time from the end of a request to its response head"),
    row(Limits, EVERY_REQUEST, Text, "idle-timeout", "DURATION", "310s",
        "Maximum gap between body chunks, in either direction"),
    row(Limits, PROXY, Text, "drain-timeout", "DURATION", "25s",
        "Maximum time for requests in flight at shutdown"),
    row(Process, LOGGED, Text, "log-format", "FORMAT", "auto",
        "Log format: auto (text on a terminal, JSON elsewhere), text or json"),
    row(Process, LOGGED, Text, "log-level", "LEVEL", "info",
        "Log level (off, error, warn, info, debug, trace) or a filter in RUST_LOG's syntax"),
    row(Process, UNTIL_A_SIGNAL, Switch, "exit-zero-on-sigterm", "BOOL", "false",
        "Exit with code 0 instead of 143 on SIGTERM"),
    row(Sandbox, SANDBOX, Text, "backend", "URL", "",
        "Local server that receives the verified requests, with the identity in headers"),
    row(Sandbox, SANDBOX, Text, "credentials-lifetime", "DURATION", "1h",
        "Lifetime of the credentials that the sandbox issues"),
];

/// An empty `default` stands for none.
const fn row(
    group: Group,
    uses: &'static [Use],
    kind: Kind,
    name: &'static str,
    value_name: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    let default = if default.is_empty() { None } else { Some(default) };
    Setting { name, kind, default, value_name, help, group, uses }
}
