//! The errors of the user pool API, and what can be done about each.

use crate::credentials::user_pool::verdict::Verdict;

/// What an error answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// User name or password are wrong.
    WrongPassword,
    /// Too many wrong passwords or codes: the account is locked for a while.
    LockedOut,
    /// The user is disabled.
    UserDisabled,
    /// There is no such user.
    UserNotFound,
    /// The user's account was never confirmed.
    UserNotConfirmed,
    /// The password must be reset before the next sign-in.
    PasswordResetRequired,
    /// A new password does not meet the pool's policy.
    NewPasswordRejected,
    /// A code is wrong or was used before.
    WrongCode,
    /// A code is right, but too old.
    CodeExpired,
    /// The challenge was not answered in time.
    SignInExpired,
    /// The refresh token is expired, revoked, or of another client or device.
    RefreshTokenInvalid,
    /// The refresh token was exchanged before.
    RefreshTokenReused,
    /// The app client's secret is missing, wrong, or not wanted.
    ClientSecret,
    /// There is no such app client.
    ClientUnknown,
    /// There is no such user pool.
    PoolUnknown,
    /// The remembered device is unknown to the pool.
    DeviceUnknown,
    /// The app client does not allow this flow.
    FlowDisabled,
    /// Cognito, its tier or its emulation does not have the operation.
    Unsupported,
    /// The pool's own configuration keeps it from signing users in.
    PoolMisconfigured,
    /// A Lambda trigger of the pool refused or failed.
    Trigger,
    /// A web ACL in front of the pool refused.
    Firewall,
    /// Throttled, or an error inside Cognito, or a Lambda trigger that did not run.
    Unavailable,
    /// A parameter is not acceptable.
    InvalidParameter,
    /// NotAuthorizedException in words that are not known here.
    NotAuthorized,
    /// A code that is not known here.
    Unknown,
}

impl Cause {
    pub(super) fn of(code: &str, message: &str, status: u16) -> Self {
        match code {
            "NotAuthorizedException" => Self::of_not_authorized(message),
            "RefreshTokenReuseException" => Self::RefreshTokenReused,
            "TokenRevokedException" | "UnsupportedTokenTypeException" => Self::RefreshTokenInvalid,
            "UserNotFoundException" => Self::UserNotFound,
            "UserNotConfirmedException" => Self::UserNotConfirmed,
            "PasswordResetRequiredException" => Self::PasswordResetRequired,
            "InvalidPasswordException" | "PasswordHistoryPolicyViolationException" => {
                Self::NewPasswordRejected
            }
            "CodeMismatchException" | "EnableSoftwareTokenMFAException" => Self::WrongCode,
            "ExpiredCodeException" => Self::CodeExpired,
            "TooManyFailedAttemptsException" => Self::LockedOut,
            "InvalidParameterException" => Self::of_invalid_parameter(message),
            "ResourceNotFoundException" => Self::of_not_found(message),
            "UserLambdaValidationException" | "InvalidLambdaResponseException" => Self::Trigger,
            // The function did not run to its end, so that it has refused nothing.
            "UnexpectedLambdaException" => Self::Unavailable,
            "TooManyRequestsException" | "LimitExceededException" | "InternalErrorException" => {
                Self::Unavailable
            }
            "ForbiddenException" => Self::Firewall,
            "FeatureUnavailableInTierException"
            | "OperationNotEnabledException"
            | "UnsupportedOperationException"
            | "UnknownOperationException"
            | "UnknownOperation"
            | "NotImplementedException"
            | "NotImplemented"
            | "UnsupportedOperation"
            | "Unsupported"
            | "InvalidAction" => Self::Unsupported,
            "InvalidUserPoolConfigurationException"
            | "InvalidSmsRoleAccessPolicyException"
            | "InvalidSmsRoleTrustRelationshipException"
            | "InvalidEmailRoleAccessPolicyException"
            | "MFAMethodNotFoundException"
            | "SoftwareTokenMFANotFoundException" => Self::PoolMisconfigured,
            _ if status == 501 => Self::Unsupported,
            _ if code.starts_with("Throttl") || status == 429 || status >= 500 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    fn of_not_authorized(message: &str) -> Self {
        let words = message.to_ascii_lowercase();
        let says = |phrase| words.contains(phrase);
        if says("incorrect username or password") {
            Self::WrongPassword
        } else if says("attempts exceeded") {
            Self::LockedOut
        } else if says("secret hash") || says("secrethash") || says("secret_hash") || says("client secret") {
            Self::ClientSecret
        } else if says("refresh token") || says("access token has been revoked") {
            Self::RefreshTokenInvalid
        } else if says("invalid session") || says("session is expired") || says("auth state") {
            Self::SignInExpired
        } else if says("user is disabled") {
            Self::UserDisabled
        } else {
            Self::NotAuthorized
        }
    }

    fn of_invalid_parameter(message: &str) -> Self {
        let words = message.to_ascii_lowercase();
        let says = |phrase| words.contains(phrase);
        if says("flow not enabled") || says("auth method not supported") || says("custom auth lambda trigger")
        {
            Self::FlowDisabled
        } else {
            Self::InvalidParameter
        }
    }

    fn of_not_found(message: &str) -> Self {
        let words = message.to_ascii_lowercase();
        if words.contains("device") {
            Self::DeviceUnknown
        } else if words.contains("user pool") && !words.contains("client") {
            Self::PoolUnknown
        } else {
            Self::ClientUnknown
        }
    }

    pub(super) fn terminal_verdict(self) -> Verdict {
        let person = |advice| Verdict::PersonNeeded { advice };
        let setting = |settings, advice| Verdict::Misconfigured { settings, advice };
        match self {
            Self::WrongPassword | Self::NotAuthorized => {
                person("check username and password; wrong ones are not tried again")
            }
            Self::LockedOut => person("wait a quarter of an hour, then check username and password"),
            Self::UserDisabled => person("have the pool's administrator enable the user"),
            Self::UserNotFound => person("check username: the pool has no such user"),
            Self::UserNotConfirmed => person("confirm the account with the code that was sent to its owner"),
            Self::PasswordResetRequired => person("reset the password in the application that owns the pool"),
            Self::NewPasswordRejected => person("choose a new password that meets the pool's policy"),
            Self::WrongCode | Self::CodeExpired | Self::DeviceUnknown => {
                person("sign in again with `countersign login`")
            }
            Self::RefreshTokenInvalid | Self::RefreshTokenReused => Verdict::SessionOver,
            Self::ClientSecret => setting(
                &["client-secret-file"],
                "set client-secret-file to the app client's secret, or unset it if the client has none",
            ),
            Self::ClientUnknown => setting(
                &["client-id", "user-pool-id"],
                "check client-id, and the region at the start of user-pool-id",
            ),
            Self::PoolUnknown => setting(&["user-pool-id"], "check user-pool-id"),
            Self::FlowDisabled => setting(
                &["auth-flow"],
                "choose an auth-flow that the app client allows, or allow this one in its settings",
            ),
            Self::Unsupported => {
                setting(&["auth-flow"], "choose another auth-flow; this pool has not got it")
            }
            Self::InvalidParameter | Self::Unknown => setting(
                &["user-pool-id", "client-id", "auth-flow"],
                "check user-pool-id, client-id and auth-flow",
            ),
            Self::PoolMisconfigured => person("have the pool's administrator correct its configuration"),
            Self::Trigger => person("a Lambda trigger of the pool refused; ask the pool's administrator"),
            Self::Firewall => person("a web ACL (AWS WAF) in front of the pool refuses this client"),
            Self::SignInExpired | Self::Unavailable => Verdict::Transient { retry_after: None },
        }
    }
}
