//! The settings of the sandbox, and the endpoints by which other commands find one.

use countersign::config::{
    PasswordClasses, RouteAuthorization, SandboxAttribute, SandboxAttributeKind, SandboxRoute,
    SandboxTrigger, SandboxUsernames, SecondFactor, table::SETTINGS,
};
use secrecy::ExposeSecret;

use super::{Run, cognito, problems};

const USER_POOL_VARIABLE: &str = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";

#[test]
fn a_sandbox_without_settings_has_fixed_ports_and_one_user() {
    let services = Run::empty().sandbox().expect("valid").services;
    assert_eq!(services.ports, [8183, 8184, 8185]);
    let names: Vec<_> = services.users.iter().map(|user| user.username.as_str()).collect();
    assert_eq!(names, ["demo"]);
    assert!(services.self_sign_up && !services.local_issuer);
    assert!(services.second_factor.is_none() && services.seed.is_none());
}

#[test]
fn users_clients_and_routes_are_the_same_as_flags_and_in_a_file() {
    let flags = Run::empty()
        .flag("user", &["ann:Sandbox:password-2", "bob"])
        .flag("group", &["ann:admins", "ann:staff"])
        .flag("attribute", &["bob:email=bob@example.com"])
        .flag("mfa", &["totp"])
        .flag("signup", &["closed"])
        .flag("client", &["6mine:s3cret"])
        .flag("callback-url", &["myapp://callback"])
        .flag("api-route", &["/public=none", "/me=user-pool"])
        .flag("port-base", &["0"])
        .flag("issuer", &["local"]);
    let file = Run::empty().file(
        "user = [\"ann:Sandbox:password-2\", \"bob\"]\ngroup = [\"ann:admins\", \"ann:staff\"]\n\
         attribute = [\"bob:email=bob@example.com\"]\nmfa = \"totp\"\nsignup = \"closed\"\n\
         client = [\"6mine:s3cret\"]\ncallback-url = [\"myapp://callback\"]\n\
         api-route = [\"/public=none\", \"/me=user-pool\"]\nport-base = 0\nissuer = \"local\"\n",
    );
    for run in [flags, file] {
        let services = run.sandbox().unwrap_or_else(|error| panic!("{error}")).services;
        let [ann, bob] = &services.users[..] else { panic!("{:?}", services.users) };
        assert_eq!(ann.password.expose_secret(), "Sandbox:password-2");
        assert_eq!(ann.groups, ["admins", "staff"]);
        assert_eq!(bob.password.expose_secret(), "Sandbox-password-1");
        assert_eq!(bob.attributes["email"], "bob@example.com");
        assert_eq!(services.second_factor, Some(SecondFactor::Totp));
        assert!(!services.self_sign_up && services.local_issuer);
        assert_eq!(services.clients[0].id, "6mine");
        assert_eq!(services.callback_urls, ["myapp://callback"]);
        let route = |path: &str, authorization| SandboxRoute { path: path.to_owned(), authorization };
        let expected =
            [route("/public", RouteAuthorization::None), route("/me", RouteAuthorization::UserPool)];
        assert_eq!(services.api_routes, expected);
        assert_eq!(services.ports, [0; 3]);
    }
}

#[test]
fn rules_of_the_pool_and_hooks_are_the_same_as_flags_and_in_a_file() {
    let flags = Run::empty()
        .flag("usernames", &["email-or-phone"])
        .flag("password-min-length", &["12"])
        .flag("password-requires", &["lowercase, digit"])
        .flag("required-attribute", &["given_name"])
        .flag("custom-attribute", &["plan", "custom:level:number:immutable"])
        .flag("code-lifetime", &["5m"])
        .flag("max-attempts", &["2"])
        .flag("unknown-users", &["named"])
        .flag("pre-sign-up", &["http://lambda:8080/2015-03-31/functions/function/invocations"])
        .flag("pre-token-generation", &["http://localhost:9000/"])
        .flag("pre-token-generation-version", &["V2_0"]);
    let file = Run::empty().file(
        "usernames = \"email-or-phone\"\npassword-min-length = 12\npassword-requires = \"lowercase, digit\"\n\
         required-attribute = [\"given_name\"]\n\
         custom-attribute = [\"plan\", \"custom:level:number:immutable\"]\ncode-lifetime = \"5m\"\n\
         max-attempts = 2\nunknown-users = \"named\"\n\
         pre-sign-up = \"http://lambda:8080/2015-03-31/functions/function/invocations\"\n\
         pre-token-generation = \"http://localhost:9000/\"\npre-token-generation-version = \"V2_0\"\n",
    );
    for run in [flags, file] {
        let services = run.sandbox().unwrap_or_else(|error| panic!("{error}")).services;
        let pool = services.pool;
        assert_eq!(pool.usernames, SandboxUsernames::EmailOrPhone);
        let classes = PasswordClasses { lowercase: true, digit: true, ..PasswordClasses::default() };
        assert_eq!((pool.password_min_length, pool.password_classes), (12, classes));
        assert_eq!(pool.required_attributes, ["given_name"]);
        let attribute = |name: &str, kind, mutable| SandboxAttribute { name: name.to_owned(), kind, mutable };
        let expected = [
            attribute("custom:plan", SandboxAttributeKind::String, true),
            attribute("custom:level", SandboxAttributeKind::Number, false),
        ];
        assert_eq!(pool.custom_attributes, expected);
        assert_eq!(pool.code_lifetime, Some(std::time::Duration::from_secs(300)));
        assert!(pool.max_attempts == 2 && !pool.hide_unknown_users);
        let hook = "http://lambda:8080/2015-03-31/functions/function/invocations";
        let hooks = [
            (SandboxTrigger::PreSignUp, hook),
            (SandboxTrigger::PreTokenGeneration, "http://localhost:9000/"),
        ];
        assert_eq!(
            services.triggers.hooks,
            hooks.map(|(trigger, url)| (trigger, url.parse().expect("a URL")))
        );
        assert!(services.triggers.second_token_event);
    }
}

#[test]
fn mistakes_name_the_value_and_no_password() {
    for (flag, value, words) in [
        ("user", ":secret-1", "is not NAME or NAME:PASSWORD"),
        ("user", "ann:short", "gives ann a password that does not have 6 to 256 characters"),
        ("user", "an n", "is not NAME or NAME:PASSWORD"),
        ("group", "admins", "\"admins\" is not NAME:GROUP"),
        ("group", "dem:admins", "names dem, who is no user of the sandbox; did you mean demo?"),
        ("attribute", "demo:email", "is not NAME:KEY=VALUE"),
        ("attribute", "demo:sub=1", "sets sub"),
        ("mfa", "push", "\"push\" is not totp, sms or email"),
        ("signup", "no", "\"no\" is neither open nor closed"),
        ("client", "my-client", "is not an app client id"),
        ("client", "6mine:a-b", "a secret that is not of letters and digits"),
        ("callback-url", "localhost:5173", "is not a URL"),
        ("callback-url", "http://localhost:*", "without * and fragment"),
        ("api-route", "/public", "is not PATH=AUTHORIZATION"),
        ("api-route", "public=none", "does not start with a slash"),
        ("api-route", "/public=open", "\"open\" is not iam, user-pool or none"),
        ("port-base", "65534", "is not a port from 1 to 65533"),
        ("port-base", "8180", "listen has port 8181, and the sandbox's services have 8180 to 8182"),
        ("issuer", "me", "\"me\" is neither aws nor local"),
        ("usernames", "mail", "\"mail\" is not chosen, aliases, email, phone or email-or-phone"),
        ("password-min-length", "5", "\"5\" is not a length from 6 to 99"),
        ("password-requires", "lower", "\"lower\" is not uppercase, lowercase, digit or symbol"),
        ("required-attribute", "given-name", "did you mean given_name?"),
        ("required-attribute", "custom:plan", "a pool can require standard ones only"),
        ("custom-attribute", "plan:int", "\"int\" is not string, number, boolean or datetime"),
        ("custom-attribute", "plan:number:fixed", "ends with \"fixed\"; write :immutable or nothing there"),
        ("custom-attribute", "", "is not NAME[:TYPE[:immutable]]"),
        ("max-attempts", "0", "\"0\" is not a whole number from 1"),
        ("code-lifetime", "5", "5"),
        ("unknown-users", "shown", "\"shown\" is neither hidden nor named"),
        ("pre-sign-up", "localhost:9000", "lacks http://; write http://localhost:9000"),
        ("pre-sign-up", "ftp://localhost/", "has the scheme ftp"),
        ("create-auth-challenge", "http://localhost:9000", "has no effect without define-auth-challenge"),
        (
            "pre-token-generation-version",
            "V2_0",
            "has no effect without pre-token-generation; set that as well",
        ),
        ("pre-token-generation-version", "2", "\"2\" is neither V1_0 nor V2_0"),
    ] {
        let problems = problems(Run::empty().flag(flag, &[value]).sandbox());
        let all = problems.join("\n");
        assert!(all.contains(words), "{flag}: {all}");
        assert!(!all.contains("secret-1") && !all.contains("ann:short"), "{all}");
    }
    let twice = problems(Run::empty().flag("custom-attribute", &["plan", "plan:number"]).sandbox());
    assert!(twice.join("\n").contains("declares custom:plan twice"), "{twice:?}");
    let twice = problems(Run::empty().flag("user", &["ann", "Ann"]).sandbox());
    assert_eq!(twice, ["--user: names the user Ann twice"]);
}

#[test]
fn a_file_may_name_services_on_this_machine_and_no_other() {
    let run = Run::complete().file("user-pool-endpoint = \"http://127.0.0.1:8183/\"\n");
    let config = run.valid();
    let countersign::credentials::Login::UserPool(pool) = &cognito(&config.credentials).login else {
        panic!("a user pool")
    };
    assert_eq!(pool.endpoint, "http://127.0.0.1:8183");
    for url in ["https://evil.example.com", "https://10.0.0.1:8183"] {
        let problems = Run::complete().file(&format!("identity-pool-endpoint = {url:?}\n")).problems();
        assert!(problems[0].contains("must be on this machine"), "{problems:?}");
    }
}

#[test]
fn an_endpoint_comes_from_the_flag_then_the_variables_then_the_file() {
    let endpoint = |run: Run| {
        let config = run.valid();
        let countersign::credentials::Login::UserPool(pool) = &cognito(&config.credentials).login else {
            panic!("a user pool")
        };
        pool.endpoint.clone()
    };
    let file = || Run::complete().file("user-pool-endpoint = \"http://127.0.0.1:1\"\n");
    let variable = || file().variable(USER_POOL_VARIABLE, "http://127.0.0.1:2");
    let own = || variable().variable("COUNTERSIGN_USER_POOL_ENDPOINT", "http://127.0.0.1:3");
    assert_eq!(endpoint(file()), "http://127.0.0.1:1");
    assert_eq!(endpoint(variable()), "http://127.0.0.1:2");
    assert_eq!(endpoint(own()), "http://127.0.0.1:3");
    assert_eq!(endpoint(own().flag("user-pool-endpoint", &["http://127.0.0.1:4"])), "http://127.0.0.1:4");
}

#[test]
fn every_value_that_a_shell_offers_is_accepted() {
    let choices = SETTINGS.iter().flat_map(|row| row.choices().iter().map(move |choice| (row.name, *choice)));
    let mut offered = 0;
    for (name, choice) in choices {
        offered += 1;
        let unknown = [format!("{choice:?} is not "), format!("{choice:?} is neither ")];
        let flagged = |run: Run| run.flag(name, &[choice]);
        for problem in
            [flagged(Run::complete()).problems(), problems(flagged(Run::empty()).sandbox())].concat()
        {
            assert!(
                !unknown.iter().any(|words| problem.contains(words)),
                "{name} offers {choice}: {problem}"
            );
        }
    }
    assert!(offered > 20, "{offered}");
}
