//! Amplify's file as the lowest layer: what it gives, what wins over it, and what is wrong with it.

use countersign::{
    config::{Config, ConfigError, SessionConfig, table},
    credentials::{Login, Settings},
};
use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use super::{IDENTITY_POOL, Run, UPSTREAM, cognito, problems, user_pool};

const FILE: &str = "amplify_outputs.json";

fn gen_2() -> Value {
    json!({
        "version": "1.4",
        "auth": {
            "aws_region": "eu-west-1",
            "user_pool_id": "eu-west-1_AbCdEf123",
            "user_pool_client_id": "client1",
            "identity_pool_id": IDENTITY_POOL,
            "unauthenticated_identities_enabled": true,
            "mfa_methods": [],
            "oauth": { "domain": "x.auth.eu-west-1.amazoncognito.com", "identity_providers": [] },
        },
        "custom": { "API": { "orders": { "endpoint": format!("{UPSTREAM}/"), "region": "eu-west-1" } } },
    })
}

fn gen_1() -> Value {
    json!({
        "aws_project_region": "eu-west-1",
        "aws_user_pools_id": "eu-west-1_AbCdEf123",
        "aws_user_pools_web_client_id": "client1",
        "aws_cognito_identity_pool_id": IDENTITY_POOL,
        "oauth": {},
        "aws_cloud_logic_custom": [{ "name": "orders", "endpoint": UPSTREAM, "region": "eu-west-1" }],
    })
}

/// A run in whose folder `file` is, and that names it.
fn with(file: &Value) -> Run {
    with_text(&file.to_string())
}

fn with_text(text: &str) -> Run {
    Run::empty().named_file(FILE, text).variable("COUNTERSIGN_AMPLIFY_OUTPUTS", FILE)
}

/// The path of the file as it is shown.
fn shown(run: &Run) -> String {
    run.folder.path().join(FILE).display().to_string()
}

fn credentials(run: &Run) -> Result<SessionConfig, ConfigError> {
    Config::for_credentials(&run.arguments, &run.environment())
}

#[test]
fn a_set_of_regions_takes_the_place_of_the_region_of_an_api() {
    let config = with(&gen_2()).flag("region-set", &["eu-*"]).valid();
    assert_eq!(config.proxy.routes[0].region.to_string(), "region-set eu-*");
    let settings = serde_json::to_value(&config.effective).expect("JSON")["settings"].clone();
    assert_eq!(
        (&settings["region"]["value"], &settings["region-set"]["value"]),
        (&Value::Null, &"eu-*".into())
    );
}

#[test]
fn both_generations_name_the_pools_and_the_api() {
    for (file, domain) in [(gen_2(), Some("x.auth.eu-west-1.amazoncognito.com")), (gen_1(), None)] {
        let config = with(&file).valid();
        let pool = user_pool(&config.credentials);
        assert_eq!(
            (pool.id.to_string().as_str(), pool.client_id.as_str()),
            ("eu-west-1_AbCdEf123", "client1")
        );
        assert_eq!(pool.domain.as_deref(), domain);
        assert_eq!(cognito(&config.credentials).identity_pool.id.to_string(), IDENTITY_POOL);
        let [route] = config.proxy.routes.as_slice() else { panic!("one route") };
        assert_eq!((route.upstream.to_string().as_str(), route.path.as_str()), (UPSTREAM, "/"));
        assert_eq!((route.region.as_str(), route.service.as_str()), ("eu-west-1", "execute-api"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}

#[test]
fn every_command_that_signs_takes_the_file() {
    let run = with(&gen_2());
    assert!(run.session().is_ok() && credentials(&run).is_ok() && run.call().is_ok());
    assert!(Config::for_explain(&run.arguments, &run.environment()).is_ok());
    let exec = Config::for_exec(&run.arguments, &run.environment()).expect("valid");
    assert_eq!((exec.listen.to_string().as_str(), exec.admin_listen), ("localhost:0", None));
    // The others do not look at it.
    let run = with_text("damaged");
    assert!(run.sandbox().is_ok() && Config::for_healthcheck(&run.arguments, &run.environment()).is_ok());
}

#[test]
fn a_path_in_the_configuration_file_starts_from_its_folder() {
    let run = Run::empty()
        .named_file("project/amplify_outputs.json", &gen_2().to_string())
        .named_file("project/countersign.toml", "amplify-outputs = 'amplify_outputs.json'")
        .config_flag("project/countersign.toml");
    assert!(run.serve().is_ok());
}

#[test]
fn flags_variables_and_file_win_over_it_key_by_key() {
    let region = "custom.API.orders.region";
    for (run, origin) in [
        (with(&gen_2()).flag("client-id", &["other"]), "--client-id"),
        (with(&gen_2()).variable("COUNTERSIGN_CLIENT_ID", "other"), "COUNTERSIGN_CLIENT_ID"),
        (with(&gen_2()).file("client-id = 'other'"), "countersign.toml:1"),
    ] {
        let config = run.valid();
        assert_eq!(user_pool(&config.credentials).client_id, "other");
        let rows = &config.effective.settings;
        assert!(rows["client-id"].origin.ends_with(origin), "{:?}", rows["client-id"]);
        assert_eq!(rows["region"].origin, format!("{}: {region}", shown(&run)));
    }
}

#[test]
fn the_effective_configuration_names_the_file_and_the_key_of_each_value() {
    let run = with(&gen_2());
    let effective = run.valid().effective;
    for (name, key) in [
        ("user-pool-id", "auth.user_pool_id"),
        ("client-id", "auth.user_pool_client_id"),
        ("identity-pool-id", "auth.identity_pool_id"),
        ("domain", "auth.oauth.domain"),
        ("upstream", "custom.API.orders.endpoint"),
        ("region", "custom.API.orders.region"),
    ] {
        assert_eq!(effective.settings[name].origin, format!("{}: {key}", shown(&run)), "{name}");
        assert!(effective.to_string().contains(key), "{name}");
    }
    assert_eq!(effective.settings["amplify-outputs"].origin, "COUNTERSIGN_AMPLIFY_OUTPUTS");
    assert_eq!(effective.routes[0].origin, format!("{}: custom.API.orders.endpoint", shown(&run)));
}

#[test]
fn an_upstream_or_a_route_of_ones_own_leaves_the_files_apis_alone() {
    let mut file = gen_2();
    file["custom"]["API"]["orders"]["region"] = "us-east-1".into();
    let run = with(&file).flag("upstream", &["https://x.execute-api.eu-north-1.amazonaws.com"]);
    assert_eq!(run.valid().proxy.routes[0].region.as_str(), "eu-north-1");
    file["custom"]["API"]["users"] = json!({ "endpoint": "https://users.example", "region": "eu-west-1" });
    let run = with(&file)
        .file("[[route]]\npath = '/a'\nupstream = 'https://x.execute-api.eu-north-1.amazonaws.com'");
    let routes = run.valid().proxy.routes;
    assert_eq!((routes.len(), routes[0].path.as_str()), (1, "/a"));
}

#[test]
fn several_apis_are_named_and_one_must_be_chosen() {
    let mut file = gen_2();
    file["custom"]["API"]["my users"] = json!({ "endpoint": "https://users.example", "region": "eu-west-1" });
    let run = with(&file);
    let found = run.problems();
    assert_eq!(found.len(), 1, "{found:#?}");
    for words in ["upstream: ", "choose one with", FILE, "\"my users\", \"orders\"", "--upstream"] {
        assert!(found[0].contains(words), "{words}: {found:#?}");
    }
    assert!(run.session().is_ok(), "who signs in needs no upstream");
    assert!(run.flag("upstream", &["https://users.example"]).flag("region", &["eu-west-1"]).serve().is_ok());
}

#[test]
fn an_odd_name_of_an_api_is_quoted_in_its_key() {
    let mut file = gen_2();
    file["custom"]["API"] = json!({ "my.api": { "endpoint": UPSTREAM } });
    let run = with(&file);
    let origin = format!("{}: custom.API[\"my.api\"].endpoint", shown(&run));
    assert_eq!(run.valid().effective.settings["upstream"].origin, origin);
}

#[test]
fn ids_of_the_amplify_file_contradict_no_credentials_setting() {
    let guest = with(&gen_2()).flag("credentials", &["guest"]).valid();
    assert!(matches!(guest.credentials, Settings::Guest { .. }) && guest.warnings.is_empty());
    let aws = with(&gen_2()).flag("credentials", &["aws"]).valid();
    assert!(matches!(aws.credentials, Settings::Aws));
    let token = with(&gen_2()).named_file("token", "x").flag("id-token-file", &["token"]).valid();
    assert!(matches!(cognito(&token.credentials).login, Login::IdTokenFile { .. }));
}

#[test]
fn guests_that_the_file_says_are_refused_draw_a_warning() {
    let mut file = gen_2();
    file["auth"]["unauthenticated_identities_enabled"] = false.into();
    assert!(with(&file).valid().warnings.is_empty());
    let run = with(&file).flag("credentials", &["guest"]);
    let warnings = run.valid().warnings;
    let expected = format!(
        "{}: auth.unauthenticated_identities_enabled is false: the identity pool refuses guests",
        shown(&run)
    );
    assert_eq!(warnings, [expected]);
    let elsewhere = run.flag("identity-pool-id", &[IDENTITY_POOL]);
    assert!(elsewhere.valid().warnings.is_empty(), "the file says nothing of another pool");
}

#[test]
fn missing_keys_of_the_amplify_file_are_named() {
    let mut file = gen_2();
    file["auth"]["identity_pool_id"] = Value::Null;
    file["custom"] = json!({ "API": "https://x.example", "other": 1 });
    let run = with(&file);
    let has_no = |key: &str| format!("is required, and {} has no {key}: set --", shown(&run));
    let found = run.problems();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains(&has_no("custom.API.NAME.endpoint"))), "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains(&has_no("auth.identity_pool_id"))), "{found:#?}");
}

#[test]
fn an_invalid_value_is_reported_with_file_and_key_beside_all_other_mistakes() {
    let mut file = gen_2();
    file["auth"]["user_pool_id"] = json!({ "Ref": "UserPool" });
    file["auth"]["user_pool_client_id"] = "no client".into();
    file["custom"]["API"]["orders"]["endpoint"] = "${Token[TOKEN.1]}".into();
    let run = with(&file).flag("listen", &["nowhere"]);
    let found = run.problems();
    assert_eq!(found.len(), 4, "{found:#?}");
    let shown = shown(&run);
    for (place, words) in [
        ("--listen", "is not a listen address"),
        (&format!("{shown}: auth.user_pool_id"), "expected text, found an object; generate the file again"),
        (&format!("{shown}: auth.user_pool_client_id"), "is not an app client id"),
        (&format!("{shown}: custom.API.orders.endpoint"), "is not a URL"),
    ] {
        let told =
            found.iter().any(|problem| problem.starts_with(&format!("{place}: ")) && problem.contains(words));
        assert!(told, "{place}: {words}: {found:#?}");
    }
}

#[test]
fn an_invalid_value_that_is_not_used_is_ignored() {
    let mut file = gen_2();
    file["auth"]["user_pool_id"] = 1.into();
    file["custom"]["API"]["orders"] = json!({ "endpoint": 1, "region": 1 });
    let run = with(&file).flag("user-pool-id", &["eu-west-1_AbCdEf123"]);
    assert_eq!(run.problems().len(), 2);
    assert!(run.flag("upstream", &[UPSTREAM]).serve().is_ok());
}

#[test]
fn a_file_that_is_something_else_is_the_one_problem() {
    let flag = "COUNTERSIGN_AMPLIFY_OUTPUTS: ";
    for (text, words) in [
        ("", "is not JSON: EOF"),
        ("{\"version\": \"1\", \"auth\": {", "generate the file again with `ampx generate outputs`"),
        ("[]", "is not Amplify's"),
        ("{\"name\": \"app\"}", "name amplify_outputs.json or amplifyconfiguration.json"),
    ] {
        let found = with_text(text).problems();
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with(flag) && found[0].contains(words), "{text}: {found:#?}");
    }
    for version in [json!("2"), json!(1), json!("10")] {
        let run = with(&json!({ "version": version }));
        let found = run.problems();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].contains(&format!("{}: version: is {version}, and 1 to 1.4 are known", shown(&run)))
        );
    }
    let found = Run::empty().flag("amplify-outputs", &["nowhere.json"]).problems();
    assert!(found.len() == 1 && found[0].starts_with("--amplify-outputs: cannot read "), "{found:#?}");
    let script = Run::empty().named_file("aws-exports.js", "const awsmobile = {};");
    let found = script.flag("amplify-outputs", &["aws-exports.js"]).problems();
    assert!(found.len() == 1 && found[0].contains("name amplifyconfiguration.json"), "{found:#?}");
}

#[test]
fn a_damaged_file_does_not_hide_what_else_is_wrong() {
    let run = with_text("{").file("max-body = '1x'");
    let found = run.problems();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(problems(run.session()).len(), 1);
}

proptest! {
    #[test]
    fn no_file_of_amplifys_makes_the_program_panic(text in "\\PC{0,60}|\\{\"version\":\"1\",\"(auth|custom)\":.{0,30}\\}") {
        let _ = with_text(&text).serve();
    }

    #[test]
    fn no_value_in_it_makes_the_program_panic(index in 0..4usize, value in "\\PC{0,40}", number in any::<bool>()) {
        let key = ["user_pool_id", "user_pool_client_id", "identity_pool_id", "oauth"][index];
        let mut file = gen_2();
        file["auth"][key] = if number { json!({ "domain": 1 }) } else { value.into() };
        let _ = with(&file).serve();
    }
}

#[test]
fn the_setting_is_a_flag_of_every_command_that_signs() {
    let setting = table::find("amplify-outputs").expect("a setting");
    for line in ["serve", "check", "login", "logout", "whoami", "credentials", "call GET /", "explain GET /"]
    {
        let line = format!("countersign {line} --amplify-outputs x");
        assert!(countersign::cli::parse(line.split_whitespace()).is_ok(), "{line}");
    }
    assert_eq!(setting.variable(), "COUNTERSIGN_AMPLIFY_OUTPUTS");
}
