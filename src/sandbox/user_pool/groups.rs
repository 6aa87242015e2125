//! The groups of users, and the roles that they bring.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::{Account, timestamp},
    administration::OfUser,
};
use crate::sandbox::{answer::AwsError, pool_rules::Group};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfGroup {
    user_pool_id: String,
    username: String,
    group_name: String,
}

impl UserPool {
    pub(super) fn admin_add_user_to_group(&self, request: &OfGroup) -> Result<Value, AwsError> {
        self.require_pool(&request.user_pool_id)?;
        let name = &request.group_name;
        // A group exists as soon as the settings name it or a user is in it.
        let listed = self.rules.groups.iter().any(|group| group.name == *name);
        let inhabited = || self.directory.accounts().iter().any(|account| account.user.groups.contains(name));
        if !listed && !inhabited() {
            return Err(AwsError::not_found("Group not found."));
        }
        self.administer(&request.user_pool_id, &request.username, |account| {
            if !account.user.groups.contains(name) {
                account.user.groups.push(name.clone());
            }
            Ok(Value::Null)
        })
    }

    pub(super) fn admin_remove_user_from_group(&self, request: &OfGroup) -> Result<Value, AwsError> {
        self.administer(&request.user_pool_id, &request.username, |account| {
            account.user.groups.retain(|group| *group != request.group_name);
            Ok(Value::Null)
        })
    }

    pub(super) fn admin_list_groups_for_user(&self, request: &OfUser) -> Result<Value, AwsError> {
        let account = self.administered(request)?;
        let groups = account.user.groups.iter().map(|name| {
            let mut described = json!({
                "GroupName": name,
                "UserPoolId": request.user_pool_id,
                "CreationDate": timestamp(account.created),
                "LastModifiedDate": timestamp(account.created),
            });
            let group = self.rules.groups.iter().find(|group| group.name == *name);
            if let Some(role) = group.and_then(|group| group.role.as_ref()) {
                described["RoleArn"] = role.clone().into();
            }
            if let Some(precedence) = group.and_then(|group| group.precedence) {
                described["Precedence"] = precedence.into();
            }
            described
        });
        Ok(json!({ "Groups": groups.collect::<Vec<_>>() }))
    }
}

/// The roles that a user's ID token allows, and the preferred one: that of the group with the lowest precedence, if
/// only one role has it.
pub(super) fn roles(account: &Account, groups: &[Group]) -> (Vec<String>, Option<String>) {
    if let Some(preferred) = account.user.roles.first() {
        return (account.user.roles.clone(), Some(preferred.clone()));
    }
    let mut of_user: Vec<&Group> = groups
        .iter()
        .filter(|group| group.role.is_some() && account.user.groups.contains(&group.name))
        .collect();
    of_user.sort_by_key(|group| group.precedence.unwrap_or(u32::MAX));
    let mut roles: Vec<String> = of_user.iter().filter_map(|group| group.role.clone()).collect();
    roles.dedup();
    let preferred = of_user.first().and_then(|first| {
        let mut equals = of_user.iter().filter(|group| group.precedence == first.precedence);
        equals.all(|group| group.role == first.role).then(|| first.role.clone())?
    });
    (roles, preferred)
}
