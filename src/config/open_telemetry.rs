//! The standard variables of OpenTelemetry: whether spans of requests are exported, and where to.
//!
//! As the specification asks, a mistake in them is a warning: the proxy runs without spans.

#[cfg(feature = "otlp")]
mod attributes;
#[cfg(feature = "otlp")]
mod spans;

use super::{environment::Environment, reader::Reader};
#[cfg(feature = "otlp")]
use crate::telemetry::spans::Settings;

/// A variable that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    name: String,
    text: String,
}

/// The variables, and what is wrong with those that were looked at.
struct Variables<'a> {
    environment: &'a Environment,
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// How spans of requests are exported, if they are.
    #[cfg(feature = "otlp")]
    pub(super) fn spans(&mut self) -> Option<Settings> {
        let mut variables = Variables { environment: self.environment, warnings: Vec::new() };
        let mut spans = variables.spans();
        if let Some(spans) = &mut spans {
            spans.http.proxies = self.forward_proxies.clone();
            spans.http.resolver = self.resolver.clone();
        }
        self.warnings.append(&mut variables.warnings);
        spans
    }

    /// Warns when the variables ask for spans and this build has none.
    #[cfg(not(feature = "otlp"))]
    pub(super) fn spans(&mut self) {
        let mut variables = Variables { environment: self.environment, warnings: Vec::new() };
        if let Some(endpoint) = variables.collector() {
            variables.warn(&endpoint, "is set, but this program was built without the feature otlp");
        }
        self.warnings.append(&mut variables.warnings);
    }
}

impl Variables<'_> {
    /// Where the collector is, unless spans are off.
    fn collector(&mut self) -> Option<Variable> {
        if self.is_disabled() {
            return None;
        }
        let endpoint = self.of_exporter("ENDPOINT")?;
        match self.variable("OTEL_TRACES_EXPORTER") {
            Some(exporter) if exporter.text == "none" => None,
            Some(exporter) if exporter.text != "otlp" => {
                self.warn(&exporter, "is neither otlp nor none; no spans are exported");
                None
            }
            _ => Some(endpoint),
        }
    }

    fn is_disabled(&mut self) -> bool {
        let Some(disabled) = self.variable("OTEL_SDK_DISABLED") else { return false };
        match disabled.text.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.warn(&disabled, "is neither true nor false; false is assumed");
                false
            }
        }
    }

    /// A variable of the exporter: the one for traces alone, else the one for all signals.
    fn of_exporter(&self, name: &str) -> Option<Variable> {
        let of_traces = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
        self.variable(&of_traces).or_else(|| self.variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    fn variable(&self, name: &str) -> Option<Variable> {
        let text = self.environment.variable(name)?.trim();
        (!text.is_empty()).then(|| Variable { name: name.to_owned(), text: text.to_owned() })
    }

    /// Values are not quoted: one in the wrong variable may be a secret.
    fn warn(&mut self, variable: &Variable, what: &str) {
        self.warnings.push(format!("{} {what}", variable.name));
    }
}
