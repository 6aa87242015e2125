//! Amazon Location, whose two versions share hosts and differ in signing names.

use super::{Scope, Unsigned};

impl Scope {
    /// The scope of version 2 of Amazon Location at `host`, for a scope of version 1 (`geo`).
    ///
    /// Requests to `maps.geo.REGION.amazonaws.com`, and to the hosts of places and routes, belong to version 2 if
    /// their path starts with `/v2/`: see [`Unsigned::is_location_version_2`].
    #[must_use]
    pub fn location_version_2(&self, host: &str) -> Option<Self> {
        if self.service != "geo" {
            return None;
        }
        let mut labels =
            host.split('.').rev().skip_while(|label| !matches!(*label, "geo" | "geo-fips")).skip(1);
        let service = match labels.next()? {
            "maps" => "geo-maps",
            "places" => "geo-places",
            "routes" => "geo-routes",
            _ => return None,
        };
        Some(Self { region: self.region.clone(), service: service.to_owned() })
    }
}

impl Unsigned {
    /// Whether the path is one of version 2, on a host of Amazon Location.
    #[must_use]
    pub fn is_location_version_2(&self) -> bool {
        self.target.path() == "/v2" || self.target.path().starts_with("/v2/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_signed_by_the_name_of_its_host() {
        let geo = Scope { region: "eu-west-1".into(), service: "geo".to_owned() };
        let table = [
            ("maps.geo.eu-west-1.amazonaws.com", Some("geo-maps")),
            ("places.geo.eu-west-1.api.aws", Some("geo-places")),
            ("routes.geo-fips.us-east-1.amazonaws.com", Some("geo-routes")),
            ("vpce-1a-2b.maps.geo.eu-west-1.vpce.amazonaws.com", Some("geo-maps")),
            ("tracking.geo.eu-west-1.amazonaws.com", None),
            ("geo.eu-west-1.amazonaws.com", None),
            ("localhost", None),
        ];
        for (host, service) in table {
            let found = geo.location_version_2(host).map(|scope| scope.service);
            assert_eq!(found.as_deref(), service, "{host}");
        }
        let other = Scope { service: "geo-maps".to_owned(), ..geo };
        assert_eq!(other.location_version_2("maps.geo.eu-west-1.amazonaws.com"), None);
    }
}
