//! The groups of users, and the roles that they bring.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    UserPool,
    account::{Account, timestamp},
    administration::OfUser,
};
use crate::sandbox::{answer::AwsError, people::User, pool_rules::Group};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfGroup {
    user_pool_id: String,
    username: String,
    group_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateGroup {
    user_pool_id: String,
    group_name: String,
    role_arn: Option<String>,
    precedence: Option<u32>,
}

pub(super) struct Groups(Mutex<Vec<Entry>>);

#[derive(Clone)]
struct Entry {
    group: Group,
    created: SystemTime,
}

impl Groups {
    /// The groups of the settings, and those that their users are in.
    pub(super) fn new(groups: &[Group], users: &[User], now: SystemTime) -> Self {
        let listed = groups.iter().map(|group| Entry { group: group.clone(), created: now });
        let groups = Self(Mutex::new(listed.collect()));
        for user in users {
            groups.add_missing(&user.groups, now);
        }
        groups
    }

    /// Adds the groups that a user is in, without a role, unless they exist.
    pub(super) fn add_missing(&self, names: &[String], now: SystemTime) {
        let mut entries = self.lock();
        for name in names {
            if !entries.iter().any(|entry| entry.group.name == *name) {
                let group = Group { name: name.clone(), role: None, precedence: None };
                entries.push(Entry { group, created: now });
            }
        }
    }

    fn add(&self, group: Group, now: SystemTime) -> Result<Entry, AwsError> {
        let mut entries = self.lock();
        if entries.iter().any(|entry| entry.group.name == group.name) {
            return Err(AwsError::new("GroupExistsException", "A group with the name already exists."));
        }
        let entry = Entry { group, created: now };
        entries.push(entry.clone());
        Ok(entry)
    }

    fn find(&self, name: &str) -> Result<Entry, AwsError> {
        let found = self.lock().iter().find(|entry| entry.group.name == name).cloned();
        found.ok_or_else(|| AwsError::not_found("Group not found."))
    }

    /// The roles that a user's ID token allows, and the preferred one: that of the group with the lowest precedence, if
    /// no other role has the same.
    pub(super) fn roles(&self, account: &Account) -> (Vec<String>, Option<String>) {
        if let Some(preferred) = account.user.roles.first() {
            return (account.user.roles.clone(), Some(preferred.clone()));
        }
        let mut of_user: Vec<(u32, String)> = self
            .lock()
            .iter()
            .filter(|entry| account.user.groups.contains(&entry.group.name))
            .filter_map(|entry| Some((entry.group.precedence.unwrap_or(u32::MAX), entry.group.role.clone()?)))
            .collect();
        of_user.sort();
        let preferred = of_user.first().and_then(|(lowest, role)| {
            let mut equals = of_user.iter().filter(|(precedence, _)| precedence == lowest);
            equals.all(|(_, other)| other == role).then(|| role.clone())
        });
        let mut roles: Vec<String> = Vec::new();
        for (_, role) in of_user {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        (roles, preferred)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn described(&self, pool_id: &str) -> Value {
        let mut described = json!({
            "GroupName": self.group.name,
            "UserPoolId": pool_id,
            "CreationDate": timestamp(self.created),
            "LastModifiedDate": timestamp(self.created),
        });
        if let Some(role) = &self.group.role {
            described["RoleArn"] = role.clone().into();
        }
        if let Some(precedence) = self.group.precedence {
            described["Precedence"] = precedence.into();
        }
        described
    }
}

impl UserPool {
    pub(super) fn create_group(&self, request: &CreateGroup) -> Result<Value, AwsError> {
        let pool_id = &request.user_pool_id;
        self.require_pool(pool_id)?;
        let group = Group {
            name: request.group_name.clone(),
            role: request.role_arn.clone(),
            precedence: request.precedence,
        };
        Ok(json!({ "Group": self.groups.add(group, self.clock.now())?.described(pool_id) }))
    }

    pub(super) fn admin_add_user_to_group(&self, request: &OfGroup) -> Result<Value, AwsError> {
        self.require_pool(&request.user_pool_id)?;
        let name = self.groups.find(&request.group_name)?.group.name;
        self.administer(&request.user_pool_id, &request.username, |account| {
            if !account.user.groups.contains(&name) {
                account.user.groups.push(name);
            }
            Ok(Value::Null)
        })
    }

    pub(super) fn admin_remove_user_from_group(&self, request: &OfGroup) -> Result<Value, AwsError> {
        self.require_pool(&request.user_pool_id)?;
        self.groups.find(&request.group_name)?;
        self.administer(&request.user_pool_id, &request.username, |account| {
            account.user.groups.retain(|group| *group != request.group_name);
            Ok(Value::Null)
        })
    }

    pub(super) fn admin_list_groups_for_user(&self, request: &OfUser) -> Result<Value, AwsError> {
        let account = self.administered(request)?;
        let groups = account.user.groups.iter().filter_map(|name| self.groups.find(name).ok());
        let groups: Vec<Value> = groups.map(|entry| entry.described(&request.user_pool_id)).collect();
        Ok(json!({ "Groups": groups }))
    }
}
