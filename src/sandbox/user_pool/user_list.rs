//! ListUsers: filter, pages, and the choice of attributes.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{UserPool, account::Account, administration::described};
use crate::sandbox::answer::AwsError;

const MAX_LIMIT: usize = 60;
/// What a filter may name, besides the attributes of the same name.
const SEARCHABLE: [&str; 11] = [
    "username",
    "sub",
    "cognito:user_status",
    "status",
    "email",
    "phone_number",
    "name",
    "given_name",
    "family_name",
    "preferred_username",
    "nickname",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListUsers {
    user_pool_id: String,
    attributes_to_get: Option<Vec<String>>,
    limit: Option<usize>,
    pagination_token: Option<String>,
    filter: Option<String>,
}

/// `email = "ann@example.com"`, or `email ^= "ann"` for a prefix.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    attribute: String,
    value: String,
    is_prefix: bool,
}

impl UserPool {
    pub(super) fn list_users(&self, request: &ListUsers) -> Result<Value, AwsError> {
        self.require_pool(&request.user_pool_id)?;
        let limit = request.limit.unwrap_or(MAX_LIMIT);
        if limit > MAX_LIMIT {
            return Err(AwsError::invalid_parameter(format!(
                "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: \
                 Member must have value less than or equal to {MAX_LIMIT}"
            )));
        }
        // Zero means the default, as in AWS.
        let limit = if limit == 0 { MAX_LIMIT } else { limit };
        let filter = request.filter.as_deref().filter(|filter| !filter.is_empty()).map(Filter::parse);
        let filter = filter.transpose()?;
        let start = request.pagination_token.as_deref().map_or(Ok(0), page_start)?;
        let accounts = self.directory.accounts();
        let found: Vec<&Account> = accounts
            .iter()
            .filter(|account| filter.as_ref().is_none_or(|filter| filter.matches(account)))
            .collect();
        let page = found.iter().skip(start).take(limit);
        let users = page.map(|account| self.listed(account, request.attributes_to_get.as_deref()));
        let mut answer = json!({ "Users": users.collect::<Vec<_>>() });
        if start + limit < found.len() {
            answer["PaginationToken"] = STANDARD.encode((start + limit).to_string()).into();
        }
        Ok(answer)
    }

    fn listed(&self, account: &Account, wanted: Option<&[String]>) -> Value {
        let mut user = described(account, "Attributes");
        if let (Some(wanted), Some(attributes)) = (wanted, user["Attributes"].as_array_mut()) {
            attributes.retain(|attribute| wanted.iter().any(|name| attribute["Name"] == **name));
        }
        user
    }
}

impl Filter {
    fn parse(text: &str) -> Result<Self, AwsError> {
        let invalid = || AwsError::invalid_parameter("Error while parsing filter.");
        let (left, right) = text.split_once('=').ok_or_else(invalid)?;
        let (attribute, is_prefix) = match left.strip_suffix('^') {
            Some(attribute) => (attribute, true),
            None => (left, false),
        };
        let attribute = attribute.trim().trim_matches('"');
        let quoted = right.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let value = quoted.ok_or_else(invalid)?.replace("\\\"", "\"");
        if !SEARCHABLE.contains(&attribute) {
            return Err(invalid());
        }
        Ok(Self { attribute: attribute.to_owned(), value, is_prefix })
    }

    fn matches(&self, account: &Account) -> bool {
        let actual = match self.attribute.as_str() {
            "username" => &account.user.username,
            "sub" => &account.sub,
            "cognito:user_status" => account.status(),
            "status" => {
                if account.enabled {
                    "Enabled"
                } else {
                    "Disabled"
                }
            }
            name => account.attributes.get(name).map_or("", String::as_str),
        };
        let (actual, value) = match self.attribute.as_str() {
            "username" | "email" => (actual.to_ascii_lowercase(), self.value.to_ascii_lowercase()),
            _ => (actual.to_owned(), self.value.clone()),
        };
        if self.is_prefix { actual.starts_with(&value) } else { actual == value }
    }
}

fn page_start(token: &str) -> Result<usize, AwsError> {
    let decoded = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let start = decoded.and_then(|text| text.parse().ok());
    start.ok_or_else(|| AwsError::invalid_parameter("Invalid pagination token."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_cognito_writes_them() {
        let filter = |attribute: &str, value: &str, is_prefix| {
            Some(Filter { attribute: attribute.to_owned(), value: value.to_owned(), is_prefix })
        };
        for (text, expected) in [
            ("email = \"ann@example.com\"", filter("email", "ann@example.com", false)),
            ("email=\"a=b\"", filter("email", "a=b", false)),
            ("username ^= \"an\"", filter("username", "an", true)),
            ("\"status\" = \"Enabled\"", filter("status", "Enabled", false)),
            ("name = \"say \\\"hi\\\"\"", filter("name", "say \"hi\"", false)),
            ("custom:plan = \"free\"", None),
            ("email = ann", None),
            ("email", None),
        ] {
            assert_eq!(Filter::parse(text).ok(), expected, "{text}");
        }
    }
}
