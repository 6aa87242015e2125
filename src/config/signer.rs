//! Who signs: the settings of the user pool, the identity pool and the role.

use std::{fs, io::ErrorKind, path::PathBuf};

use http::Uri;

use super::{
    environment::UserFolder,
    reader::Reader,
    source::{Given, Origin},
    url,
    value::{self, Parsed, Source},
};
use crate::{
    credentials::{Cognito, IdentityPool, Login, RoleChoice, Settings, UserPool},
    endpoint::service_endpoint,
    regular_file::RegularFile,
};

const USER_POOL: &[&str] = &[
    "user-pool-id",
    "client-id",
    "client-secret-file",
    "username",
    "password-file",
    "auth-flow",
    "totp-secret-file",
    "domain",
    "redirect-port",
    "user-pool-endpoint",
];

/// A service of AWS that the proxy calls, and where its endpoint is set.
struct AwsService {
    name: &'static str,
    setting: &'static str,
    variable: &'static str,
}

const COGNITO_IDP: AwsService = AwsService {
    name: "cognito-idp",
    setting: "user-pool-endpoint",
    variable: "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
};
const COGNITO_IDENTITY: AwsService = AwsService {
    name: "cognito-identity",
    setting: "identity-pool-endpoint",
    variable: "AWS_ENDPOINT_URL_COGNITO_IDENTITY",
};
const STS: AwsService = AwsService { name: "sts", setting: "sts-endpoint", variable: "AWS_ENDPOINT_URL_STS" };

/// Where the SDK's default chain looks for credentials, if these variables say so. It parses them itself.
const OF_THE_CHAIN: &[&str] = &[
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_ENDPOINT_URL_SSO_OIDC",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
];

impl Reader<'_> {
    pub(super) fn credentials(&mut self) -> Option<Settings> {
        match self.value("credentials", value::source)? {
            Source::Cognito => self.cognito().map(|cognito| Settings::Cognito(Box::new(cognito))),
            Source::Guest => {
                self.refuse(USER_POOL, "contradicts credentials = guest, which signs nobody in");
                let login = &["id-token-file", "login-provider", "custom-role-arn"];
                self.refuse(login, "contradicts credentials = guest, which has no token");
                self.warn_of_refused_guests();
                self.identity_pool().map(|identity_pool| Settings::Guest { identity_pool })
            }
            Source::Aws => {
                let pools =
                    &["id-token-file", "login-provider", "identity-pool-id", "identity-pool-endpoint"];
                let roles = &["custom-role-arn", "classic-flow-role-arn", "sts-endpoint"];
                self.refuse(
                    &[USER_POOL, pools, roles].concat(),
                    "contradicts credentials = aws, which takes the SDK's default chain",
                );
                for name in OF_THE_CHAIN {
                    if let Some(Ok(url)) = self.environment.variable(name).map(str::parse) {
                        self.calls(Origin::Variable((*name).to_owned()), url);
                    }
                }
                Some(Settings::Aws)
            }
        }
    }

    fn cognito(&mut self) -> Option<Cognito> {
        let login = if self.origin("id-token-file").is_some() {
            self.id_token_file()
        } else {
            self.user_pool().map(Login::UserPool)
        };
        let identity_pool = self.identity_pool();
        Some(Cognito { login: login?, identity_pool: identity_pool? })
    }

    fn id_token_file(&mut self) -> Option<Login> {
        self.refuse(USER_POOL, "contradicts id-token-file, which replaces the sign-in at a user pool");
        let given = self.explicit("id-token-file")?;
        let path = self.environment.path(&given.origin, &self.parsed(&given, value::text)?);
        let shown = path.display();
        match RegularFile::open(&path) {
            // What keeps the token fresh may well start later than the proxy does.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.warnings.push(format!("{}: {shown} does not exist yet", given.origin));
            }
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput) => {
                self.problem(&given.origin, format!("cannot read {shown}: {error}"));
            }
            // Its rights may be set later, too; each reading says what is wrong.
            Ok(_) | Err(_) => {}
        }
        let login_provider = self.value("login-provider", value::login_provider);
        Some(Login::IdTokenFile { path, login_provider })
    }

    fn user_pool(&mut self) -> Option<UserPool> {
        let id = self.required("user-pool-id", value::user_pool_id);
        let client_id = self.required("client-id", value::client_id);
        let auth_flow = self.value("auth-flow", value::auth_flow);
        let redirect_port = self.value("redirect-port", value::port);
        let client_secret = self.secret("client-secret-file");
        let username = self.value("username", value::text);
        let password = self.secret("password-file");
        let totp_secret = self.secret_as("totp-secret-file", value::totp_secret);
        let domain = self.value("domain", url::login_domain);
        if let (Some(origin), Some(Ok(url))) = (self.origin("domain"), domain.as_deref().map(str::parse)) {
            self.calls(origin, url);
        }
        let login_provider = self.value("login-provider", value::login_provider);
        if self.origin("username").is_none() {
            self.refuse(&["password-file"], "needs username as well");
        }
        let id = id?;
        self.warn_of_unknown_region(self.origin("user-pool-id"), id.region());
        let endpoint = self.endpoint(&COGNITO_IDP, id.region())?;
        Some(UserPool {
            id,
            client_id: client_id?,
            client_secret,
            username,
            password,
            auth_flow: auth_flow?,
            totp_secret,
            endpoint,
            domain,
            redirect_port: redirect_port?,
            state_dir: self.state_dir(),
            login_provider,
        })
    }

    fn identity_pool(&mut self) -> Option<IdentityPool> {
        let id = self.required("identity-pool-id", value::identity_pool_id);
        let custom = self.value("custom-role-arn", value::role_arn);
        let classic = self.value("classic-flow-role-arn", value::role_arn);
        if let (Some(_), Some(classic)) =
            (self.origin("custom-role-arn"), self.origin("classic-flow-role-arn"))
        {
            self.problem(classic, "contradicts custom-role-arn, which is of the enhanced flow");
        }
        let id = id?;
        self.warn_of_unknown_region(self.origin("identity-pool-id"), id.region());
        let role = match (custom, classic) {
            (Some(role_arn), _) => RoleChoice::Custom(role_arn),
            (None, Some(role_arn)) => {
                let sts_endpoint = self.endpoint(&STS, id.region())?;
                RoleChoice::Classic { role_arn, sts_endpoint }
            }
            (None, None) => RoleChoice::Pool,
        };
        let endpoint = self.endpoint(&COGNITO_IDENTITY, id.region())?;
        Some(IdentityPool { id, endpoint, role })
    }

    /// The endpoint of a service: what its setting or its own variable of the SDKs says, else what the SDKs' common
    /// variable says. As everywhere, variables win over the file, and a flag wins over them.
    fn endpoint(&mut self, service: &AwsService, region: &str) -> Option<String> {
        let setting = self.explicit(service.setting);
        let variables = [service.variable, "AWS_ENDPOINT_URL"];
        let redirect = variables.into_iter().find_map(|name| {
            let text = self.environment.variable(name)?.to_owned();
            Some(Given { text, origin: Origin::Variable(name.to_owned()) })
        });
        let (given, parse): (Given, fn(&str) -> Parsed<String>) = match (setting, redirect) {
            (Some(setting), Some(redirect)) if matches!(setting.origin, Origin::File { .. }) => {
                (redirect, url::endpoint_url)
            }
            (Some(setting), _) => (setting, url::loopback_endpoint),
            (None, Some(redirect)) => (redirect, url::endpoint_url),
            (None, None) => return Some(service_endpoint(service.name, region)),
        };
        let endpoint = self.parsed(&given, parse)?;
        self.calls(given.origin, endpoint.parse().expect("a URL that has been parsed"));
        Some(endpoint)
    }

    /// Notes that the proxy itself sends requests to `url`.
    fn calls(&mut self, origin: Origin, url: Uri) {
        if !self.services.iter().any(|(known, _)| *known == origin) {
            self.services.push((origin, url));
        }
    }

    /// The folder of stored sessions; `None` where this user cannot look into it, so that no session of this user can
    /// be there: a container often runs with the HOME of another user.
    fn state_dir(&self) -> Option<PathBuf> {
        let folder = self.environment.user_folder(UserFolder::State)?.join("countersign");
        match fs::symlink_metadata(&folder) {
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotADirectory) => {
                None
            }
            Ok(_) | Err(_) => Some(folder),
        }
    }
}
