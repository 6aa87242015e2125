//! What Amplify reads: `amplify_outputs.json`, version 1.3 of its schema, and the configuration of its library.

use serde_json::{Map, Value, json};

use super::{MARK, MARK_IN_JSON};
use crate::sandbox::{PoolRules, Sandbox, Usernames};

const EMAIL: &str = "email";
const PHONE: &str = "phone_number";

pub(super) fn outputs(sandbox: &Sandbox) -> String {
    let api = json!({ "endpoint": sandbox.api_url(), "region": sandbox.region(), "apiName": "sandbox" });
    let mut auth = json!({
        "aws_region": sandbox.region(),
        "user_pool_id": sandbox.user_pool_id(),
        "user_pool_client_id": sandbox.client_id(),
        "identity_pool_id": sandbox.identity_pool_id(),
        "unauthenticated_identities_enabled": true,
    });
    merge(&mut auth, rules_of_outputs(sandbox.rules()));
    let outputs = json!({
        "version": "1.3",
        "auth": auth,
        "custom": {
            "API": { "sandbox": api },
            MARK_IN_JSON: endpoints(sandbox),
        },
    });
    format!("{outputs:#}\n")
}

/// The configuration of Amplify's library as it takes it, endpoints included.
pub(super) fn exports(sandbox: &Sandbox) -> String {
    let mut auth = json!({
        "userPoolId": sandbox.user_pool_id(),
        "userPoolClientId": sandbox.client_id(),
        "identityPoolId": sandbox.identity_pool_id(),
        "allowGuestAccess": true,
    });
    merge(&mut auth, rules_of_exports(sandbox.rules()));
    merge(&mut auth, endpoints(sandbox));
    let configuration = json!({
        "Auth": { "Cognito": auth },
        "API": { "REST": { "sandbox": { "endpoint": sandbox.api_url(), "region": sandbox.region() } } },
    });
    format!(
        "// {MARK}, for Amplify.configure(awsExports).\nconst awsExports = {configuration:#};\n\nexport default awsExports;\n"
    )
}

fn rules_of_outputs(rules: &PoolRules) -> Value {
    let passwords = &rules.passwords;
    json!({
        "username_attributes": username_attributes(rules.usernames),
        "user_verification_types": [EMAIL, PHONE],
        "standard_required_attributes": form_attributes(rules),
        "password_policy": {
            "min_length": passwords.min_length,
            "require_lowercase": passwords.lowercase,
            "require_uppercase": passwords.uppercase,
            "require_numbers": passwords.digit,
            "require_symbols": passwords.symbol,
        },
        "mfa_configuration": "OPTIONAL",
        "mfa_methods": ["SMS", "TOTP"],
    })
}

/// The same rules, as the library makes them of the outputs.
fn rules_of_exports(rules: &PoolRules) -> Value {
    let passwords = &rules.passwords;
    let usernames = username_attributes(rules.usernames);
    let required = form_attributes(rules).into_iter();
    json!({
        "loginWith": {
            "username": usernames.contains(&"username"),
            "email": usernames.contains(&EMAIL),
            "phone": usernames.contains(&PHONE),
        },
        "userAttributes": required
            .map(|name| (name.to_owned(), json!({ "required": true })))
            .collect::<Map<String, Value>>(),
        "passwordFormat": {
            "minLength": passwords.min_length,
            "requireLowercase": passwords.lowercase,
            "requireUppercase": passwords.uppercase,
            "requireNumbers": passwords.digit,
            "requireSpecialCharacters": passwords.symbol,
        },
        "mfa": { "status": "optional", "smsEnabled": true, "totpEnabled": true },
    })
}

/// The keys by which Amplify's library finds services that are not AWS's.
fn endpoints(sandbox: &Sandbox) -> Value {
    json!({
        "userPoolEndpoint": sandbox.user_pool_endpoint(),
        "identityPoolEndpoint": sandbox.identity_pool_endpoint(),
    })
}

/// What Amplify's sign-up form asks for: what the pool requires, and an address, since without one there is no code that
/// confirms the sign-up.
fn form_attributes(rules: &PoolRules) -> Vec<&str> {
    let mut names: Vec<&str> = rules.required_attributes.iter().map(String::as_str).collect();
    if !names.contains(&EMAIL) && !names.contains(&PHONE) {
        names.push(if rules.usernames == Usernames::Phone { PHONE } else { EMAIL });
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn username_attributes(usernames: Usernames) -> &'static [&'static str] {
    match usernames {
        Usernames::Chosen | Usernames::ChosenWithAliases => &["username"],
        Usernames::Email => &[EMAIL],
        Usernames::Phone => &[PHONE],
        Usernames::EmailOrPhone => &[EMAIL, PHONE],
    }
}

/// Adds the members of one object to another.
fn merge(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(usernames: Usernames, required: &[&str]) -> PoolRules {
        let required_attributes = required.iter().map(|name| (*name).to_owned()).collect();
        PoolRules { usernames, required_attributes, ..PoolRules::default() }
    }

    #[test]
    fn the_form_asks_for_what_the_pool_requires_and_for_one_address() {
        for (usernames, required, login, asked) in [
            (Usernames::Chosen, &[][..], json!(["username"]), json!(["email"])),
            (Usernames::Chosen, &["phone_number"][..], json!(["username"]), json!(["phone_number"])),
            (
                Usernames::ChosenWithAliases,
                &["name", "name"][..],
                json!(["username"]),
                json!(["email", "name"]),
            ),
            (Usernames::Email, &["given_name"][..], json!(["email"]), json!(["email", "given_name"])),
            (Usernames::Phone, &[][..], json!(["phone_number"]), json!(["phone_number"])),
            (Usernames::EmailOrPhone, &[][..], json!(["email", "phone_number"]), json!(["email"])),
        ] {
            let rules = rules(usernames, required);
            let outputs = rules_of_outputs(&rules);
            assert_eq!(outputs["username_attributes"], login, "{usernames:?} {required:?}");
            assert_eq!(outputs["standard_required_attributes"], asked, "{usernames:?} {required:?}");
        }
    }

    #[test]
    fn both_files_have_the_same_rules() {
        let mut rules = rules(Usernames::Phone, &["given_name", "email"]);
        rules.passwords.min_length = 12;
        rules.passwords.symbol = false;
        let expected = json!({
            "loginWith": { "username": false, "email": false, "phone": true },
            "userAttributes": { "given_name": { "required": true }, "email": { "required": true } },
            "passwordFormat": {
                "minLength": 12,
                "requireLowercase": true,
                "requireUppercase": true,
                "requireNumbers": true,
                "requireSpecialCharacters": false,
            },
            "mfa": { "status": "optional", "smsEnabled": true, "totpEnabled": true },
        });
        assert_eq!(rules_of_exports(&rules), expected);
        let outputs = rules_of_outputs(&rules);
        assert_eq!(outputs["standard_required_attributes"], json!(["email", "given_name"]));
        assert_eq!(outputs["password_policy"]["min_length"], 12);
        assert_eq!(outputs["password_policy"]["require_symbols"], false);
    }
}
