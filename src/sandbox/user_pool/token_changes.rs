//! What the trigger before token generation changes in ID and access tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;

/// Claims that Cognito lets no trigger change, besides those that begin with `cognito:`; its developer guide lists them
/// with the trigger's event.
const RESERVED: [&str; 22] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "client_id",
    "device_key",
    "event_id",
    "exp",
    "iat",
    "identities",
    "iss",
    "jti",
    "nbf",
    "nonce",
    "origin_jti",
    "scope",
    "sub",
    "token_use",
    "username",
    "version",
];
const COGNITO: &str = "cognito:";
/// Attributes that only developers may write; a trigger may leave them out of a token.
const DEVELOPER: &str = "dev:";
const GROUPS: &str = "cognito:groups";
const ROLES: &str = "cognito:roles";
const PREFERRED_ROLE: &str = "cognito:preferred_role";

/// What is different in the tokens that a sign-in or a refresh issues.
#[derive(Default)]
pub(super) struct TokenChanges {
    id: ClaimChanges,
    access: ClaimChanges,
    /// The groups instead of the user's own; `Some(None)` leaves them out.
    groups: Option<Option<GroupChanges>>,
}

/// The response to the first version of the event.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FirstVersion {
    claims_override_details: Option<FirstDetails>,
    /// Of the second version, without effect.
    claims_and_scope_override_details: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FirstDetails {
    claims_to_add_or_override: Option<BTreeMap<String, String>>,
    claims_to_suppress: Option<Vec<String>>,
    #[serde(deserialize_with = "present")]
    group_override_details: Option<Option<GroupChanges>>,
}

/// The response to the second version of the event.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SecondVersion {
    claims_and_scope_override_details: Option<SecondDetails>,
    /// Of the first version, without effect.
    claims_override_details: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecondDetails {
    id_token_generation: Option<ClaimChanges>,
    access_token_generation: Option<ClaimChanges>,
    #[serde(deserialize_with = "present")]
    group_override_details: Option<Option<GroupChanges>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimChanges {
    claims_to_add_or_override: Option<BTreeMap<String, Value>>,
    claims_to_suppress: Option<Vec<String>>,
    scopes_to_add: Option<Vec<String>>,
    scopes_to_suppress: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupChanges {
    groups_to_override: Option<Vec<String>>,
    iam_roles_to_override: Option<Vec<String>>,
    preferred_role: Option<String>,
}

impl From<FirstVersion> for TokenChanges {
    fn from(response: FirstVersion) -> Self {
        if response.claims_and_scope_override_details.is_some() {
            tracing::warn!(
                "PreTokenGeneration: claimsAndScopeOverrideDetails has no effect on an event of version V1_0; set \
                 pre-token-generation-version to V2_0"
            );
        }
        let details = response.claims_override_details.unwrap_or_default();
        let added = details.claims_to_add_or_override.unwrap_or_default();
        let id = ClaimChanges {
            claims_to_add_or_override: Some(
                added.into_iter().map(|(name, value)| (name, value.into())).collect(),
            ),
            claims_to_suppress: details.claims_to_suppress,
            ..ClaimChanges::default()
        };
        Self { id, access: ClaimChanges::default(), groups: details.group_override_details }
    }
}

impl From<SecondVersion> for TokenChanges {
    fn from(response: SecondVersion) -> Self {
        if response.claims_override_details.is_some() {
            tracing::warn!(
                "PreTokenGeneration: claimsOverrideDetails has no effect on an event of version V2_0; write \
                 claimsAndScopeOverrideDetails"
            );
        }
        let details = response.claims_and_scope_override_details.unwrap_or_default();
        Self {
            id: details.id_token_generation.unwrap_or_default(),
            access: details.access_token_generation.unwrap_or_default(),
            groups: details.group_override_details,
        }
    }
}

impl TokenChanges {
    pub(super) fn apply_to_id(&self, claims: &mut Value) {
        if let Some(groups) = &self.groups {
            let groups = groups.as_ref();
            set_list(claims, GROUPS, groups.and_then(|groups| groups.groups_to_override.as_ref()));
            set_list(claims, ROLES, groups.and_then(|groups| groups.iam_roles_to_override.as_ref()));
            remove(claims, PREFERRED_ROLE);
            if let Some(role) = groups.and_then(|groups| groups.preferred_role.as_ref()) {
                claims[PREFERRED_ROLE] = role.clone().into();
            }
        }
        self.id.apply(claims);
    }

    pub(super) fn apply_to_access(&self, claims: &mut Value) {
        if let Some(groups) = &self.groups {
            let groups = groups.as_ref();
            set_list(claims, GROUPS, groups.and_then(|groups| groups.groups_to_override.as_ref()));
        }
        self.access.apply(claims);
        let scope = claims["scope"].as_str().unwrap_or_default();
        let suppressed = self.access.scopes_to_suppress.as_deref().unwrap_or_default();
        let mut scopes: Vec<&str> =
            scope.split(' ').filter(|scope| !suppressed.iter().any(|name| name == scope)).collect();
        for added in self.access.scopes_to_add.iter().flatten() {
            if added.is_empty() || added.contains(char::is_whitespace) {
                tracing::warn!("PreTokenGeneration: {added:?} is no scope, since scopes have no spaces");
            } else if !scopes.contains(&added.as_str()) {
                scopes.push(added);
            }
        }
        claims["scope"] = scopes.join(" ").into();
    }
}

impl ClaimChanges {
    /// Adds before it removes: Cognito suppresses a claim that a response both sets and suppresses.
    fn apply(&self, claims: &mut Value) {
        for (name, value) in self.claims_to_add_or_override.iter().flatten() {
            let own_audience = name == "aud" && value.is_string() && claims["client_id"] == *value;
            if own_audience || !(is_reserved(name) || name.starts_with(DEVELOPER)) {
                claims[name.as_str()] = value.clone();
            } else {
                warn_of_reserved(name);
            }
        }
        for name in self.claims_to_suppress.iter().flatten() {
            match name.as_str() {
                GROUPS => [GROUPS, ROLES, PREFERRED_ROLE].iter().for_each(|claim| remove(claims, claim)),
                name if is_reserved(name) => warn_of_reserved(name),
                name => remove(claims, name),
            }
        }
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(COGNITO)
}

fn warn_of_reserved(name: &str) {
    let instead = match name {
        GROUPS | ROLES | PREFERRED_ROLE => "; groupOverrideDetails changes it",
        "scope" => "; scopesToAdd and scopesToSuppress change it",
        _ => "",
    };
    tracing::warn!("PreTokenGeneration: the claim {name} is reserved and stays as it is{instead}");
}

/// Sets a claim, or removes it for an empty list.
fn set_list(claims: &mut Value, name: &str, list: Option<&Vec<String>>) {
    match list.filter(|list| !list.is_empty()) {
        Some(list) => claims[name] = list.clone().into(),
        None => remove(claims, name),
    }
}

fn remove(claims: &mut Value, name: &str) {
    if let Some(claims) = claims.as_object_mut() {
        claims.remove(name);
    }
}

/// Distinguishes null, which removes the groups, from an absent member, which leaves them.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<GroupChanges>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn claims() -> Value {
        json!({ "sub": "1", "scope": "openid email", "email": "a@b", "cognito:groups": ["old"] })
    }

    #[test]
    fn the_first_version_changes_the_id_token_and_the_groups_of_both() {
        let response: FirstVersion = from_value(json!({ "claimsOverrideDetails": {
            "claimsToAddOrOverride": { "tenant": "acme", "sub": "2" },
            "claimsToSuppress": ["email", "exp"],
            "groupOverrideDetails": { "groupsToOverride": ["new"], "preferredRole": "arn" },
        } }))
        .expect("a response");
        let changes = TokenChanges::from(response);
        let (mut id, mut access) = (claims(), claims());
        changes.apply_to_id(&mut id);
        changes.apply_to_access(&mut access);
        let expected = json!({
            "sub": "1", "scope": "openid email", "tenant": "acme", "cognito:groups": ["new"],
            "cognito:preferred_role": "arn",
        });
        assert_eq!(id, expected);
        let unchanged = json!({
            "sub": "1", "scope": "openid email", "email": "a@b", "cognito:groups": ["new"],
        });
        assert_eq!(access, unchanged);
    }

    #[test]
    fn the_second_version_changes_claims_and_scopes_of_the_access_token() {
        let response: SecondVersion = from_value(json!({ "claimsAndScopeOverrideDetails": {
            "accessTokenGeneration": {
                "claimsToAddOrOverride": { "limits": { "rate": 5 } },
                "scopesToAdd": ["api/read", "openid"],
                "scopesToSuppress": ["email"],
            },
            "groupOverrideDetails": null,
        } }))
        .expect("a response");
        let mut access = claims();
        TokenChanges::from(response).apply_to_access(&mut access);
        let expected =
            json!({ "sub": "1", "scope": "openid api/read", "email": "a@b", "limits": { "rate": 5 } });
        assert_eq!(access, expected);
    }

    #[test]
    fn no_token_names_another_user_or_pool() {
        let names =
            ["iss", "sub", "aud", "username", "cognito:username", "cognito:other", "identities", "dev:tier"];
        let added: BTreeMap<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), "forged".into())).collect();
        let changes = ClaimChanges {
            claims_to_add_or_override: Some(added),
            claims_to_suppress: Some(names[..5].iter().map(|name| (*name).to_owned()).collect()),
            ..ClaimChanges::default()
        };
        let own = json!({
            "iss": "pool", "sub": "1", "aud": "client", "username": "ann", "cognito:username": "ann", "dev:tier": "1",
        });
        let mut claims = own.clone();
        changes.apply(&mut claims);
        assert_eq!(claims, own);
    }

    #[test]
    fn an_access_token_may_name_its_own_client_as_audience() {
        let audience = |name: &str| ClaimChanges {
            claims_to_add_or_override: Some(BTreeMap::from([("aud".to_owned(), name.into())])),
            ..ClaimChanges::default()
        };
        let mut claims = json!({ "client_id": "client" });
        audience("another").apply(&mut claims);
        assert_eq!(claims, json!({ "client_id": "client" }));
        audience("client").apply(&mut claims);
        assert_eq!(claims, json!({ "client_id": "client", "aud": "client" }));
    }

    #[test]
    fn a_claim_that_is_both_set_and_suppressed_is_suppressed_and_groups_go_with_their_roles() {
        let changes = ClaimChanges {
            claims_to_add_or_override: Some(BTreeMap::from([("email".to_owned(), "b@c".into())])),
            claims_to_suppress: Some(vec!["email".to_owned(), GROUPS.to_owned()]),
            ..ClaimChanges::default()
        };
        let mut claims = claims();
        claims[ROLES] = json!(["arn"]);
        claims[PREFERRED_ROLE] = "arn".into();
        changes.apply(&mut claims);
        assert_eq!(claims, json!({ "sub": "1", "scope": "openid email" }));
    }

    #[test]
    fn a_scope_with_a_space_is_not_added() {
        let access = ClaimChanges {
            scopes_to_add: Some(vec!["api/read api/write".to_owned(), String::new(), "api/read".to_owned()]),
            ..ClaimChanges::default()
        };
        let mut claims = claims();
        TokenChanges { access, ..TokenChanges::default() }.apply_to_access(&mut claims);
        assert_eq!(claims["scope"], "openid email api/read");
    }

    #[test]
    fn a_response_without_details_changes_nothing() {
        for response in [json!({}), json!({ "claimsOverrideDetails": null })] {
            let response: FirstVersion = from_value(response).expect("a response");
            let mut id = claims();
            TokenChanges::from(response).apply_to_id(&mut id);
            assert_eq!(id, claims());
        }
        let number = json!({ "claimsOverrideDetails": { "claimsToAddOrOverride": { "tenant": 1 } } });
        assert!(from_value::<FirstVersion>(number).is_err(), "the first version has text only");
    }
}
