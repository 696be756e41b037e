//! Where a setting of one signal is looked for.

use crate::{Problem, Sources, Spec, spec::Found};

/// The settings as one signal sees them.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a> {
    pub(super) spec: &'a Spec,
    pub(super) sources: Sources<'a>,
    /// `logs` or `metrics`, as in the sink's keys.
    pub(super) signal: &'static str,
}

impl Settings<'_> {
    /// A key of the sink.
    pub(super) fn key(&self, key: &str) -> Option<Found> {
        self.spec.found(key)
    }

    /// The names of a variable: the signal's own, then the generic one.
    pub(super) fn variables(&self, suffix: &str) -> [String; 2] {
        let signal = self.signal.to_ascii_uppercase();
        [format!("OTEL_EXPORTER_OTLP_{signal}_{suffix}"), format!("OTEL_EXPORTER_OTLP_{suffix}")]
    }

    /// The value of a variable for this signal.
    pub(super) fn variable(&self, suffix: &str) -> Option<Found> {
        self.variables(suffix).into_iter().find_map(|setting| {
            let value = self.sources.var(&setting)?;
            Some(Found { setting, value })
        })
    }

    /// A value from the sink's key, where a wrong one is an error, or else from the variables, where it is ignored.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        suffix: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        Ok(self.parsed_key(key, &parse)?.or_else(|| self.parsed_variable(suffix, parse)))
    }

    /// As [`Settings::parsed`], for variables that exist for this signal only.
    pub(super) fn parsed_own<T>(
        &self,
        key: &str,
        suffix: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let [own, _] = self.variables(suffix);
        Ok(self.parsed_key(key, &parse)?.or_else(|| self.sources.parsed_var(&own, parse)))
    }

    fn parsed_key<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        self.spec.get(key).map(parse).transpose().map_err(|why| Problem::setting(key, why))
    }

    /// The first value of a variable that `parse` takes.
    pub(super) fn parsed_variable<T>(
        &self,
        suffix: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.variables(suffix).iter().find_map(|name| self.sources.parsed_var(name, &parse))
    }
}
