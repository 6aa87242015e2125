//! What is wrong with a configuration, all of it in one error.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The flag, the variable, or the file, line and key; a setting's name where nothing was given.
    pub place: String,
    /// What is wrong and, where it is known, what would be right. Never contains a secret.
    pub message: String,
}

/// The mistakes of a configuration; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The mistakes, in the order in which they were found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    pub(super) fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { place: place.to_string(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return problem.fmt(f);
        }
        write!(f, "the configuration has {} mistakes", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

/// The valid name nearest to what was written, if one is near enough to be meant.
pub(crate) fn nearest<'a>(written: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = letters(written);
    let allowed = (written.len() / 3).clamp(1, 3);
    valid
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &letters(name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `userPoolId`, `user_pool_id` and `user-pool-id` differ in nothing but style.
fn letters(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).take(64).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_through_typing_errors_and_other_styles() {
        let names = ["listen", "user-pool-id", "client-id", "region"];
        for (written, expected) in [
            ("listn", Some("listen")),
            ("userPoolId", Some("user-pool-id")),
            ("user_pool_id", Some("user-pool-id")),
            ("clientid", Some("client-id")),
            ("regoin", Some("region")),
            ("color", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, names), expected, "{written}");
        }
    }

    #[test]
    fn every_problem_is_on_a_separate_line() {
        let error =
            ConfigError::new(vec![Problem::new("--listen", "bad"), Problem::new("upstream", "missing")]);
        let text = error.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines, ["the configuration has 2 mistakes", "  --listen: bad", "  upstream: missing"]);
        assert_eq!(ConfigError::new(vec![Problem::new("--listen", "bad")]).to_string(), "--listen: bad");
    }
}
