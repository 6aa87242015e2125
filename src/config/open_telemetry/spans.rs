//! What spans are exported, and how.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use http::{HeaderName, HeaderValue, Uri};

use super::{Variable, Variables, attributes::pairs};
use crate::{
    aws_http,
    config::url,
    telemetry::spans::{Sampling, Settings, Waiting},
};

/// In milliseconds; longer waits are typing errors.
const DELAYS: RangeInclusive<u64> = 1..=3_600_000;

/// So many spans take some hundred megabytes.
const QUEUES: RangeInclusive<usize> = 1..=100_000;

impl Variables<'_> {
    /// What the variables say, if they ask for spans.
    ///
    /// The SDK reads the same variables, most of them without a word about mistakes. What is found here is set
    /// in its stead.
    pub(super) fn spans(&mut self) -> Option<Settings> {
        let endpoint = self.collector()?;
        let settings = Settings {
            endpoint: self.endpoint(&endpoint)?,
            headers: self.headers(),
            timeout: self.timeout(),
            http: aws_http::Settings { ca_files: self.certificates(), ..aws_http::Settings::default() },
            resource: self.resource(),
            sampling: self.sampling(),
            waiting: self.waiting(),
        };
        self.speaks_our_protocol().then_some(settings)
    }

    fn endpoint(&mut self, variable: &Variable) -> Option<Uri> {
        let uri = url::collector(&variable.text).and_then(|uri| {
            if variable.name.contains("_TRACES_") {
                // Of one signal it is the whole URL, as it stands there.
                return variable.text.parse().map_err(|error| format!("is not a URL: {error}"));
            }
            let base = uri.to_string();
            let whole = format!("{}/v1/traces", base.trim_end_matches('/'));
            whole.parse().map_err(|error| format!("is not a URL: {error}"))
        });
        uri.map_err(|what| self.warn(variable, &format!("{what}; no spans are exported"))).ok()
    }

    fn speaks_our_protocol(&mut self) -> bool {
        if let Some(compression) = self.of_exporter("COMPRESSION").filter(|it| it.text != "none") {
            self.warn(&compression, "is not none; spans are sent uncompressed");
        }
        if let Some(key) = self.of_exporter("CLIENT_KEY") {
            self.warn(&key, "is ignored: the collector cannot be shown a certificate of the client's");
        }
        match self.of_exporter("PROTOCOL") {
            Some(protocol) if protocol.text != "http/protobuf" => {
                let what = "is not http/protobuf, the one protocol here; no spans are exported. \
                            OTEL_EXPORTER_OTLP_TRACES_PROTOCOL and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT hold for spans \
                            alone";
                self.warn(&protocol, what);
                false
            }
            _ => true,
        }
    }

    fn headers(&mut self) -> Vec<(HeaderName, HeaderValue)> {
        let Some(variable) = self.of_exporter("HEADERS") else { return Vec::new() };
        let mut headers = Vec::new();
        for (name, value) in self.list(&variable) {
            let value = HeaderValue::try_from(value).ok().filter(|value| value.to_str().is_ok());
            match (HeaderName::try_from(name), value) {
                (Ok(name), Some(mut value)) => {
                    value.set_sensitive(true);
                    headers.push((name, value));
                }
                _ => self.warn(&variable, "has a header that is none; it is left out"),
            }
        }
        headers
    }

    fn certificates(&mut self) -> Vec<PathBuf> {
        let variable = self.of_exporter("CERTIFICATE");
        variable.map(|variable| self.environment.folder().join(variable.text)).into_iter().collect()
    }

    fn timeout(&mut self) -> Duration {
        let name = |of: &str| format!("OTEL_EXPORTER_OTLP_{of}TIMEOUT");
        let of_traces = self.variable(&name("TRACES_")).is_some();
        let of_exporter = self.number(&name(if of_traces { "TRACES_" } else { "" }), 10_000, DELAYS);
        let of_batch = self.number("OTEL_BSP_EXPORT_TIMEOUT", 30_000, DELAYS);
        Duration::from_millis(of_exporter.min(of_batch))
    }

    fn resource(&mut self) -> Vec<(String, String)> {
        let attributes = self.variable("OTEL_RESOURCE_ATTRIBUTES");
        let mut resource = attributes.map(|attributes| self.list(&attributes)).unwrap_or_default();
        if let Some(name) = self.variable("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name.text));
        }
        for (key, value) in [("service.name", "countersign"), ("service.version", env!("CARGO_PKG_VERSION"))]
        {
            if !resource.iter().any(|(known, _)| known == key) {
                resource.push((key.to_owned(), value.to_owned()));
            }
        }
        resource
    }

    fn sampling(&mut self) -> Sampling {
        let all = Sampling { follows_parent: true, share: 1.0 };
        let Some(variable) = self.variable("OTEL_TRACES_SAMPLER") else { return all };
        let name = variable.text.to_ascii_lowercase();
        let (follows_parent, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name.as_str()),
        };
        let share = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.number("OTEL_TRACES_SAMPLER_ARG", 1.0, 0.0..=1.0),
            _ => {
                self.warn(&variable, "is no sampler of this program; parentbased_always_on is used");
                return all;
            }
        };
        Sampling { follows_parent, share }
    }

    fn waiting(&mut self) -> Waiting {
        let most = self.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, QUEUES);
        let batch = self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512.min(most), 1..=most);
        let delay = Duration::from_millis(self.number("OTEL_BSP_SCHEDULE_DELAY", 5_000, DELAYS));
        Waiting { most, batch, delay }
    }

    fn list(&mut self, variable: &Variable) -> Vec<(String, String)> {
        let (pairs, wrong) = pairs(&variable.text);
        for place in wrong {
            self.warn(variable, &format!("has no key=value in place {place}; it is left out"));
        }
        pairs
    }

    fn number<T>(&mut self, name: &str, default: T, valid: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let Some(variable) = self.variable(name) else { return default };
        if let Some(number) = variable.text.parse().ok().filter(|number| valid.contains(number)) {
            return number;
        }
        let (from, to) = (valid.start(), valid.end());
        self.warn(&variable, &format!("is not a number from {from} to {to}; {default} is used"));
        default
    }
}
