//! From what was typed to a sandbox and the proxy in front of it.

use crate::{
    app,
    config::{
        RouteAuthorization, SandboxAttributeKind, SandboxClient, SandboxConfig, SandboxPool, SandboxTrigger,
        SandboxTriggers, SandboxUser, SandboxUsernames, SecondFactor,
    },
    credentials::{self, AuthFlow, Cognito, IdentityPool, Login, RoleChoice, UserPool},
    proxy::{PayloadSigning, RouteSettings, WebsocketSigning},
    sandbox::{
        self, ApiRoute, AppClient, AttributeKind, Authorization, CustomAttribute, Issuer, Mfa,
        PasswordPolicy, PoolRules, Ports, Sandbox, Seed, TokenEventVersion, Trigger, TriggerHooks, User,
        Usernames,
    },
};

use crate::commands::Failure;

/// Ports on which the usual dev servers listen: Create React App and Next, Angular, Astro, Vite (dev and preview),
/// Django, Vue CLI and webpack, Metro.
const DEV_SERVER_PORTS: [u16; 10] = [3000, 3001, 4200, 4321, 5173, 5174, 4173, 8000, 8080, 8081];
/// Paths at which their applications take a code.
const CALLBACK_PATHS: [&str; 5] = ["", "/", "/callback", "/auth/callback", "/silent-renew.html"];
/// The users of whom the proxy can sign in one, where nobody answers for it to a code by message.
const USERS_WITHOUT_CODES: [&str; 2] = ["demo", "proxy"];

/// The settings of the sandbox.
pub(super) fn of_sandbox(config: &SandboxConfig) -> sandbox::Settings {
    let services = &config.services;
    let defaults = sandbox::Settings::default();
    let [user_pool, identity_pool, api] = services.ports;
    let (confidential, public): (Vec<_>, Vec<_>) =
        services.clients.iter().partition(|client| client.secret.is_some());
    let is_replaced = |known: &AppClient| services.clients.iter().any(|client| client.id == known.id);
    let known = defaults.clients.iter().filter(|known| !is_replaced(known)).cloned();
    // The first one is for pages and the proxy, which keep no secret.
    let clients = public.into_iter().map(client).chain(known).chain(confidential.into_iter().map(client));
    let callback_urls: Vec<String> = dev_servers().chain(services.callback_urls.iter().cloned()).collect();
    let route = |route: &crate::config::SandboxRoute| ApiRoute {
        path: route.path.clone(),
        authorization: match route.authorization {
            RouteAuthorization::Iam => Authorization::Iam,
            RouteAuthorization::UserPool => Authorization::UserPool,
            RouteAuthorization::None => Authorization::None,
        },
    };
    sandbox::Settings {
        users: users(&services.users, services.second_factor, services.seed.as_deref()),
        clients: clients
            .map(|mut client| {
                client.redirect_uris.extend(callback_urls.iter().cloned());
                client
            })
            .collect(),
        rules: PoolRules {
            self_sign_up: services.self_sign_up,
            issuer: if services.local_issuer { Issuer::Local } else { Issuer::Aws },
            ..rules(&services.pool)
        },
        triggers: triggers(&services.triggers),
        credentials_lifetime: config.credentials_lifetime,
        token_lifetime: services.token_lifetime,
        ports: Ports { user_pool, identity_pool, api },
        backend: config.backend.clone(),
        api_routes: services.api_routes.iter().map(route).collect(),
        seed: services.seed.as_deref().map(Seed::new),
        state_dir: services.state_dir.clone(),
        ..defaults
    }
}

fn rules(pool: &SandboxPool) -> PoolRules {
    let classes = pool.password_classes;
    let attributes = pool.custom_attributes.iter().map(|attribute| CustomAttribute {
        name: attribute.name.clone(),
        kind: match attribute.kind {
            SandboxAttributeKind::String => AttributeKind::String,
            SandboxAttributeKind::Number => AttributeKind::Number,
            SandboxAttributeKind::Boolean => AttributeKind::Boolean,
            SandboxAttributeKind::DateTime => AttributeKind::DateTime,
        },
        mutable: attribute.mutable,
    });
    PoolRules {
        usernames: match pool.usernames {
            SandboxUsernames::Chosen => Usernames::Chosen,
            SandboxUsernames::Aliases => Usernames::ChosenWithAliases,
            SandboxUsernames::Email => Usernames::Email,
            SandboxUsernames::Phone => Usernames::Phone,
            SandboxUsernames::EmailOrPhone => Usernames::EmailOrPhone,
        },
        passwords: PasswordPolicy {
            min_length: pool.password_min_length,
            uppercase: classes.uppercase,
            lowercase: classes.lowercase,
            digit: classes.digit,
            symbol: classes.symbol,
        },
        required_attributes: pool.required_attributes.clone(),
        custom_attributes: (!pool.custom_attributes.is_empty()).then(|| attributes.collect()),
        code_lifetime: pool.code_lifetime,
        max_attempts: pool.max_attempts,
        hide_unknown_users: pool.hide_unknown_users,
        ..PoolRules::default()
    }
}

fn triggers(triggers: &SandboxTriggers) -> TriggerHooks {
    let trigger = |trigger| match trigger {
        SandboxTrigger::PreSignUp => Trigger::PreSignUp,
        SandboxTrigger::PostConfirmation => Trigger::PostConfirmation,
        SandboxTrigger::PreAuthentication => Trigger::PreAuthentication,
        SandboxTrigger::PostAuthentication => Trigger::PostAuthentication,
        SandboxTrigger::PreTokenGeneration => Trigger::PreTokenGeneration,
        SandboxTrigger::DefineAuthChallenge => Trigger::DefineAuthChallenge,
        SandboxTrigger::CreateAuthChallenge => Trigger::CreateAuthChallenge,
        SandboxTrigger::VerifyAuthChallengeResponse => Trigger::VerifyAuthChallengeResponse,
    };
    TriggerHooks {
        urls: triggers.hooks.iter().map(|(name, url)| (trigger(*name), url.clone())).collect(),
        token_event: match triggers.second_token_event {
            true => TokenEventVersion::V2,
            false => TokenEventVersion::V1,
        },
    }
}

fn dev_servers() -> impl Iterator<Item = String> {
    DEV_SERVER_PORTS
        .into_iter()
        .flat_map(|port| CALLBACK_PATHS.map(|path| format!("http://localhost:{port}{path}")))
}

fn client(client: &SandboxClient) -> AppClient {
    AppClient { secret: client.secret.clone(), ..AppClient::new(&client.id) }
}

/// The users. With codes by message, one without them comes first, as whom the proxy signs in.
fn users(users: &[SandboxUser], factor: Option<SecondFactor>, seed: Option<&str>) -> Vec<User> {
    let seed = seed.map_or_else(Seed::default, Seed::new);
    let mut all: Vec<User> = users.iter().map(|user| with_addresses(user, factor)).collect();
    for user in &mut all {
        user.mfa = match factor {
            None => Vec::new(),
            Some(SecondFactor::Sms) => vec![Mfa::Sms],
            Some(SecondFactor::Email) => vec![Mfa::Email],
            Some(SecondFactor::Totp) => {
                vec![Mfa::Authenticator { secret: seed.authenticator_secret(&user.username) }]
            }
        };
    }
    if matches!(factor, Some(SecondFactor::Sms | SecondFactor::Email)) {
        let is_free = |name: &&str| !users.iter().any(|user| user.username == *name);
        if let Some(name) = USERS_WITHOUT_CODES.into_iter().find(is_free) {
            let demonstration = SandboxUser::demonstration();
            let proxy = SandboxUser { username: name.to_owned(), ..demonstration };
            all.insert(0, with_addresses(&proxy, None));
        }
    }
    all
}

/// A user with an address for e-mail, and one for text messages where codes go there.
fn with_addresses(described: &SandboxUser, factor: Option<SecondFactor>) -> User {
    let mut user = User { password: described.password.clone(), ..User::new(&described.username, "") };
    user.attributes.clone_from(&described.attributes);
    user.groups.clone_from(&described.groups);
    let given = |name: &str| described.attributes.get(name).cloned();
    let email = given("email").or_else(|| {
        (!described.username.contains('@')).then(|| format!("{}@example.com", described.username))
    });
    user.aliases.extend(email);
    // A number that is set aside for fiction.
    let invented = (factor == Some(SecondFactor::Sms)).then(|| "+12025550100".to_owned());
    user.aliases.extend(given("phone_number").or(invented));
    for name in ["email", "phone_number"] {
        let verified = format!("{name}_verified");
        if user.attributes.contains_key(name) && !user.attributes.contains_key(&verified) {
            user.attributes.insert(verified, "true".to_owned());
        }
    }
    user
}

/// The settings of the proxy in front of this sandbox.
pub(super) fn of_proxy(config: SandboxConfig, sandbox: &Sandbox) -> Result<app::Settings, Failure> {
    let mut proxy = config.proxy;
    proxy.routes = vec![RouteSettings {
        path: "/".to_owned(),
        upstream: sandbox.api_url().parse().map_err(Failure::runtime)?,
        region: sandbox.region().into(),
        service: "execute-api".to_owned(),
        sign_host: None,
        strip_prefix: None,
        set_headers: config.set_headers,
        payload: PayloadSigning::Hashed,
        websocket_signing: WebsocketSigning::Headers,
    }];
    Ok(app::Settings {
        listen: config.listen,
        admin_listen: config.admin_listen,
        credentials: of_credentials(sandbox)?,
        proxy,
        inspector: config.inspector,
        aws_http: crate::aws_http::Settings::default(),
        #[cfg(feature = "otlp")]
        spans: config.spans,
        threads: std::thread::available_parallelism().ok(),
    })
}

fn of_credentials(sandbox: &Sandbox) -> Result<credentials::Settings, Failure> {
    let user_pool = UserPool {
        id: sandbox.user_pool_id().parse().map_err(Failure::runtime)?,
        client_id: sandbox.client_id().to_owned(),
        client_secret: sandbox.client_secret().cloned(),
        username: Some(sandbox.username().to_owned()),
        password: Some(sandbox.password().clone()),
        auth_flow: AuthFlow::Srp,
        totp_secret: sandbox.authenticator_secret().cloned(),
        endpoint: sandbox.user_pool_endpoint(),
        domain: None,
        redirect_port: 0,
        state_dir: None,
        login_provider: None,
    };
    let identity_pool = IdentityPool {
        id: sandbox.identity_pool_id().parse().map_err(Failure::runtime)?,
        endpoint: sandbox.identity_pool_endpoint(),
        role: RoleChoice::Pool,
    };
    let login = Login::UserPool(user_pool);
    Ok(credentials::Settings::Cognito(Box::new(Cognito { login, identity_pool })))
}
