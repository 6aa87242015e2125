//! `samconfig.toml`: the parameters, region and stack names that `sam deploy` uses. It has no outputs.

use serde_json::{Value, json};

/// The tree of `samconfig.toml`, with `parameter_overrides` taken apart, and the names of its stacks.
///
/// # Errors
/// When the text is not TOML.
pub(super) fn read(text: &str) -> Result<(Value, Vec<String>), String> {
    let mut tree: Value =
        toml::from_str(text).map_err(|error| format!("it is not TOML: {}", error.message()))?;
    let mut stacks = Vec::new();
    visit(&mut tree, &mut stacks);
    Ok((tree, stacks))
}

fn visit(value: &mut Value, stacks: &mut Vec<String>) {
    let Some(members) = value.as_object_mut() else { return };
    for (name, member) in members {
        match (name.as_str(), &member) {
            ("parameter_overrides", Value::String(text)) => *member = parameters(words(text)),
            ("parameter_overrides", Value::Array(list)) => {
                *member = parameters(list.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            ("stack_name", Value::String(stack)) if !stacks.contains(stack) => stacks.push(stack.clone()),
            _ => visit(member, stacks),
        }
    }
}

/// `Name=value`, or `ParameterKey=Name,ParameterValue=value`.
fn parameters(words: impl IntoIterator<Item = String>) -> Value {
    words
        .into_iter()
        .filter_map(|word| {
            let word = word.replace("ParameterKey=", "").replace(",ParameterValue=", "=");
            let (name, value) = word.split_once('=')?;
            Some((unquoted(name).to_owned(), json!(unquoted(value))))
        })
        .collect()
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}

/// The words of a line, in which quotes protect spaces.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut open) = (Vec::new(), String::new(), None);
    for letter in line.chars() {
        match letter {
            quote @ ('"' | '\'') if open.is_none() => open = Some(quote),
            quote if open == Some(quote) => open = None,
            space if space.is_whitespace() && open.is_none() => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_each_of_their_forms() {
        for overrides in [
            r#""PoolId=\"a\" Title=\"two words\" Empty=""#,
            r#"["PoolId=a", "Title=two words", "Empty="]"#,
            r#"'ParameterKey=PoolId,ParameterValue=a "Title"="two words" Empty="" nothing'"#,
        ] {
            let text =
                format!("version = 0.1\n[default.deploy.parameters]\nparameter_overrides = {overrides}");
            let (tree, _) = read(&text).expect("valid");
            let read = &tree["default"]["deploy"]["parameters"]["parameter_overrides"];
            assert_eq!(read, &json!({ "PoolId": "a", "Title": "two words", "Empty": "" }), "{overrides}");
        }
    }

    #[test]
    fn stacks_are_listed_once() {
        let text = "[default.global.parameters]\nstack_name = \"a\"\n[dev.deploy.parameters]\nstack_name = \"b\"\n\
                    [prod.deploy.parameters]\nstack_name = \"a\"\n";
        assert_eq!(read(text).expect("valid").1, ["a", "b"]);
        assert!(read("= 1").expect_err("no TOML").starts_with("it is not TOML: "));
    }
}
