//! Takes settings out of the layers: the highest one that has it wins, and every mistake is kept.

use std::{fmt, path::PathBuf};

use http::Uri;

use super::{
    amplify::Outputs,
    environment::Environment,
    file::{self, RawRoute},
    forward_proxy,
    problem::{ConfigError, Problem},
    source::{Arguments, Given, Layer, Origin},
    table::{self, Use},
    value::{self, Parsed},
};
use crate::{forward_proxy::ForwardProxies, proxy::Resolver};

/// The layers, and what was found wrong with them so far.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    /// The file that was read.
    pub(super) file: Option<PathBuf>,
    pub(super) routes: Vec<RawRoute>,
    /// What was given as `-` first.
    pub(super) stdin_taken: Option<Origin>,
    pub(super) warnings: Vec<String>,
    /// The lowest layer.
    pub(super) amplify: Outputs,
    /// Which hosts are reached through a forward proxy.
    pub(super) forward_proxies: ForwardProxies,
    /// Shared by all, so that each name has one lookup at a time.
    pub(super) resolver: Resolver,
    /// Services that settings or variables name and that the proxy itself calls, each with where it was given.
    pub(super) services: Vec<(Origin, Uri)>,
    /// The command that asks.
    command: Use,
    /// Highest first: flags, variables, file.
    layers: [Layer; 3],
    problems: Vec<Problem>,
    /// Settings that a file has, but not as they should be: they are not missing.
    pub(super) mistaken: Vec<&'static str>,
    /// Whether the file could not be read, so that what is missing may stand in it.
    broken: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(command: Use, arguments: &Arguments, environment: &'a Environment) -> Self {
        let mut problems = Vec::new();
        let (file, path) = file::read(arguments.config_file.as_deref(), environment, &mut problems);
        let (variables, wrong_variables, warnings) = environment.layer();
        problems.extend(wrong_variables);
        let mut reader = Self {
            environment,
            file: path,
            routes: file.routes,
            stdin_taken: None,
            warnings,
            amplify: Outputs::default(),
            forward_proxies: ForwardProxies::default(),
            resolver: Resolver::system(),
            services: Vec::new(),
            command,
            layers: [arguments.flags.clone(), variables, file.layer],
            problems,
            mistaken: file.mistyped,
            broken: file.broken,
        };
        // A running proxy is asked on this machine.
        if command != Use::Healthcheck {
            let (proxies, problem, warnings) = forward_proxy::read(environment);
            reader.forward_proxies = proxies;
            reader.problems.extend(problem);
            reader.warnings.extend(warnings);
        }
        let setting = table::find("amplify-outputs").filter(|setting| setting.uses.contains(&command));
        if let Some(given) = setting.and_then(|setting| reader.explicit(setting.name)) {
            reader.read_amplify(&given);
        }
        reader
    }

    /// What the highest layer says; empty when no layer says anything.
    pub(super) fn given(&self, name: &str) -> &[Given] {
        let layers = self.layers.iter().chain([&self.amplify.layer]);
        layers.filter_map(|layer| layer.get(name)).next().map_or(&[], Vec::as_slice)
    }

    /// The one value of a setting that is no list, without the default.
    pub(super) fn explicit(&self, name: &str) -> Option<Given> {
        self.given(name).first().cloned()
    }

    /// Where a setting, or the secret that a file setting stands for, was given.
    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        let secret = table::find(name).and_then(table::Setting::secret);
        let given = self.explicit(name).or_else(|| self.explicit(secret?));
        given.map(|given| given.origin)
    }

    /// The value of a setting or of its default; `None` when there is neither or it is wrong.
    pub(super) fn value<T>(&mut self, name: &str, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        let default = || {
            let text = table::find(name)?.default_of(self.command)?.to_owned();
            Some(Given { text, origin: Origin::Default })
        };
        let given = self.explicit(name).or_else(default)?;
        self.parsed(&given, parse)
    }

    /// The value of a setting that must be given.
    pub(super) fn required<T>(&mut self, name: &str, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        if self.explicit(name).is_none() {
            self.missing(name, "is required");
        }
        self.value(name, parse)
    }

    /// The values of a list, without those that are wrong.
    pub(super) fn values<T>(&mut self, name: &str, parse: fn(&str) -> Parsed<T>) -> Vec<T> {
        let given = self.given(name).to_vec();
        given.iter().filter_map(|given| self.parsed(given, parse)).collect()
    }

    pub(super) fn parsed<T>(&mut self, given: &Given, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        if let Some((what, bare)) = value::surroundings(&given.text) {
            self.problem(&given.origin, format!("{what}; write {}", given.origin.assignment(bare)));
            return None;
        }
        parse(&given.text).map_err(|message| self.problem(&given.origin, message)).ok()
    }

    pub(super) fn problem(&mut self, place: impl fmt::Display, message: impl Into<String>) {
        let problem = Problem::new(place, message);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Says that a setting is needed, and how it can be given.
    pub(super) fn missing(&mut self, name: &str, why: &str) {
        if !self.broken && !self.amplify.broken && !self.mistaken.contains(&name) {
            let nor = self.not_in_amplify(name).map(|nor| format!(", and {nor}")).unwrap_or_default();
            let variable = table::variable_of(name);
            self.problem(name, format!("{why}{nor}: set --{name}, {variable}, or {name} in the file"));
        }
    }

    /// Says of each of these settings that is given that it contradicts another. Amplify's file describes a
    /// backend, not what to do with it: a value in it that the command does not need contradicts nothing.
    pub(super) fn refuse(&mut self, names: &[&str], why: &str) {
        for name in names {
            match self.origin(name) {
                None | Some(Origin::Amplify { .. }) => {}
                Some(origin) => self.problem(origin, why),
            }
        }
    }

    /// The finished configuration, if nothing was wrong.
    pub(super) fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError::new(self.problems)),
        }
    }
}
