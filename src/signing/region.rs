//! Where a signature is valid: in one region, or in a set of them.

use std::{fmt, str::FromStr};

use http::HeaderValue;

/// Where a signature is valid, which also decides its algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningRegion {
    /// In one region, `eu-west-1`: SigV4.
    One(String),
    /// In a set of regions: SigV4A.
    Set(RegionSet),
}

impl SigningRegion {
    /// The region, or the set as it stands in `x-amz-region-set`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.one().or(self.set()).unwrap_or_default()
    }

    /// The region of SigV4.
    #[must_use]
    pub fn one(&self) -> Option<&str> {
        match self {
            Self::One(region) => Some(region),
            Self::Set(_) => None,
        }
    }

    /// The set of SigV4A.
    #[must_use]
    pub fn set(&self) -> Option<&str> {
        match self {
            Self::One(_) => None,
            Self::Set(set) => Some(set.as_str()),
        }
    }
}

impl From<&str> for SigningRegion {
    fn from(region: &str) -> Self {
        Self::One(region.to_owned())
    }
}

impl From<String> for SigningRegion {
    fn from(region: String) -> Self {
        Self::One(region)
    }
}

impl fmt::Display for SigningRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(region) => f.write_str(region),
            Self::Set(set) => write!(f, "region-set {}", set.as_str()),
        }
    }
}

/// Regions with commas between them, in which `*` stands for any characters: `*`, `us-*`, `us-east-1,eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionSet(String);

impl RegionSet {
    /// The set as it stands in `x-amz-region-set`, without blanks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of `x-amz-region-set`.
    pub(super) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("letters, digits, hyphens, stars and commas are visible ASCII")
    }
}

impl FromStr for RegionSet {
    type Err = InvalidRegionSet;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let entries: Vec<&str> = text.split(',').map(|entry| entry.trim_matches([' ', '\t'])).collect();
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'*');
        if entries.iter().any(|entry| entry.is_empty() || !entry.bytes().all(legal)) {
            return Err(InvalidRegionSet);
        }
        Ok(Self(entries.join(",")))
    }
}

/// A text that is no set of regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRegionSet;

impl fmt::Display for InvalidRegionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a set of regions such as * or us-east-1,eu-west-1")
    }
}

impl std::error::Error for InvalidRegionSet {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_commas_between_regions_and_patterns() {
        for (text, expected) in [
            ("*", Some("*")),
            ("us-east-1", Some("us-east-1")),
            (" us-east-1 ,\teu-west-1", Some("us-east-1,eu-west-1")),
            ("us-*,eu-west-1", Some("us-*,eu-west-1")),
            ("", None),
            (",", None),
            ("us-east-1,", None),
            ("us-east-1,,eu-west-1", None),
            ("US-EAST-1", None),
            ("us east-1", None),
            ("us-east-1;eu-west-1", None),
            ("us-east-1\r\nx-a: b", None),
            ("région", None),
        ] {
            let set: Option<RegionSet> = text.parse().ok();
            assert_eq!(set.as_ref().map(RegionSet::as_str), expected, "{text:?}");
        }
    }

    #[test]
    fn a_set_is_shown_by_the_name_of_its_setting() {
        assert_eq!(SigningRegion::from("eu-west-1").to_string(), "eu-west-1");
        let set = SigningRegion::Set("us-*".parse().expect("a set"));
        assert_eq!((set.to_string().as_str(), set.as_str(), set.one()), ("region-set us-*", "us-*", None));
    }
}
