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

    /// The text of a file that holds one value, without the newline that editors end it with.
    pub(crate) fn text(&self, path: &Path) -> Result<String, TextError> {
        let content = (self.read_file)(path).map_err(TextError::Unreadable)?;
        let mut text = String::from_utf8(content).map_err(|_| TextError::NotText)?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
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

/// A file that holds no value. The path is not repeated: it may be a secret that was taken for one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextError {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is not UTF-8 text")]
    NotText,
}
