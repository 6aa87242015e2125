//! Amplify's file about a deployed backend: a layer below all others, for pools and API that nothing else names.

mod file;

use std::path::Path;

use super::{
    reader::Reader,
    source::{Given, Origin},
    table::variable_of,
};

pub(super) use file::{Outputs, parse, step};

impl Outputs {
    /// Every value that the file has for a setting, `upstream` once for each API.
    pub(super) fn into_given(self) -> impl Iterator<Item = (&'static str, Given)> {
        let of_apis = self.apis.into_iter().flat_map(|api| {
            [Some(("upstream", api.endpoint)), api.region.map(|region| ("region", region))]
                .into_iter()
                .flatten()
        });
        let settings = self.layer.into_iter();
        settings.flat_map(|(name, given)| given.into_iter().map(move |given| (name, given))).chain(of_apis)
    }
}

impl Reader<'_> {
    /// Takes Amplify's file, which `given` names, for the lowest layer.
    pub(super) fn read_amplify(&mut self, given: &Given) {
        let mut problems = Vec::new();
        self.amplify = file::read(given, self.environment, &mut problems);
        let has_upstream = self.explicit("upstream").is_some() || !self.routes.is_empty();
        for (name, problem) in std::mem::take(&mut self.amplify.mistyped) {
            let is_of_api = matches!(name, "upstream" | "region");
            if self.explicit(name).is_none() && !(is_of_api && has_upstream) {
                self.mistaken.push(name);
                problems.push(problem);
            }
        }
        problems.into_iter().for_each(|problem| self.problem(problem.place, problem.message));
    }

    /// Makes the one API of Amplify's file the upstream, if nothing else says where requests go.
    pub(super) fn adopt_api(&mut self) {
        if self.explicit("upstream").is_some() || !self.routes.is_empty() {
            return;
        }
        let mut apis = std::mem::take(&mut self.amplify.apis);
        if apis.len() > 1 {
            let names: Vec<String> = apis.iter().map(|api| format!("{:?}", api.name)).collect();
            let what = format!(
                "{} has the APIs {}; choose one with --upstream, {}, or upstream in the file",
                self.amplify.file.as_deref().unwrap_or(Path::new("")).display(),
                names.join(", "),
                variable_of("upstream")
            );
            self.problem("upstream", what);
            self.mistaken.push("upstream");
        } else if let Some(api) = apis.pop() {
            self.amplify.layer.insert("upstream", vec![api.endpoint]);
            self.amplify.layer.extend(api.region.map(|region| ("region", vec![region])));
        }
    }

    /// That Amplify's file, if there is one, does not have the setting `name` either.
    pub(super) fn not_in_amplify(&self, name: &str) -> Option<String> {
        let file = self.amplify.file.as_ref()?;
        let (_, key) = self.amplify.keys.iter().find(|(known, _)| *known == name)?;
        Some(format!("{} has no {key}", file.display()))
    }

    /// Warns if Amplify's file says that the identity pool, which it names, refuses guests.
    pub(super) fn warn_of_refused_guests(&mut self) {
        let Some(place) = &self.amplify.refuses_guests else { return };
        if matches!(self.origin("identity-pool-id"), Some(Origin::Amplify { .. })) {
            self.warnings.push(format!("{place} is false: the identity pool refuses guests"));
        }
    }
}
