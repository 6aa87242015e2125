//! Values anywhere in a tree, with the way to each: what CDK, SST and CloudFormation write.

use serde_json::{Map, Value};

use crate::config::amplify::step;

/// Calls `visit` with the key and the text of every string in `tree`.
pub(super) fn strings(tree: &Value, visit: &mut dyn FnMut(&str, &str)) {
    walk(&mut String::new(), tree, visit);
}

fn walk(way: &mut String, value: &Value, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(way.trim_start_matches('.'), text),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let name = element.as_object().and_then(name).map_or_else(|| format!("[{index}]"), step);
                descend(way, &name, |way| element_of_list(way, element, visit));
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                descend(way, &step(name), |way| walk(way, member, visit));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn descend(way: &mut String, step: &str, visit: impl FnOnce(&mut String)) {
    let length = way.len();
    way.push_str(step);
    visit(way);
    way.truncate(length);
}

/// CloudFormation lists its stacks, outputs and parameters, each with its name inside.
fn name(element: &Map<String, Value>) -> Option<&str> {
    ["StackName", "OutputKey", "ParameterKey"].iter().find_map(|key| element.get(*key)?.as_str())
}

fn element_of_list(way: &mut String, element: &Value, visit: &mut dyn FnMut(&str, &str)) {
    let value = ["OutputValue", "ParameterValue"].iter().find_map(|key| element.get(key));
    walk(way, value.unwrap_or(element), visit);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(tree: &Value) -> Vec<String> {
        let mut listed = Vec::new();
        strings(tree, &mut |key, text| listed.push(format!("{key}={text}")));
        listed
    }

    #[test]
    fn a_key_is_the_way_to_the_value() {
        let tree = json!({ "Auth": { "Pool": "a", "n": 1, "odd key": "b" }, "list": ["c", { "d": "e" }] });
        assert_eq!(listed(&tree), ["Auth.Pool=a", "Auth[\"odd key\"]=b", "list[0]=c", "list[1].d=e"]);
    }

    #[test]
    fn stacks_and_outputs_of_cloudformation_are_known_by_their_names() {
        let outputs = json!([{ "OutputKey": "PoolId", "OutputValue": "a", "Description": "no value" }]);
        let stacks = json!({ "Stacks": [{ "StackName": "shop", "Outputs": outputs }] });
        assert_eq!(listed(&outputs), ["PoolId=a"]);
        assert_eq!(listed(&stacks), ["Stacks.shop.Outputs.PoolId=a", "Stacks.shop.StackName=shop"]);
    }
}
