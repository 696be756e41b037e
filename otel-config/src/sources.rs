//! How settings reach the world outside: environment, files, and a place for warnings.

use std::{io, path::Path};

/// Everything settings are read from, as functions, so that tests need neither environment nor disk.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Value of an environment variable; `None` when unset or not UTF-8.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Whole content of a file.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Takes one line about a setting that is ignored or changed. Secrets never appear in it.
    pub warn: &'a dyn Fn(String),
}

impl Sources<'_> {
    /// An environment variable by the specification's general rule: an empty one counts as unset.
    /// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>
    pub(crate) fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// A variable read by `parse`; a value it refuses is warned about and counts as unset.
    pub(crate) fn parsed_var<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.var(name)?.trim()) {
            Ok(value) => Some(value),
            Err(why) => {
                (self.warn)(format!("{name} is ignored: {why}"));
                None
            }
        }
    }
}
