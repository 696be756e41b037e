//! A made-up outside for tests: environment, files and the warnings given.

use std::{cell::RefCell, collections::BTreeMap, io};

use crate::{ConfigError, OtlpConfig, SinkConfig, SinkKind, Sources};

#[derive(Default)]
pub(crate) struct Outside {
    env: BTreeMap<String, String>,
    files: BTreeMap<String, Vec<u8>>,
    warnings: RefCell<Vec<String>>,
}

impl Outside {
    pub(crate) fn env(variables: &[(&str, &str)]) -> Self {
        let mut outside = Self::default();
        for (name, value) in variables {
            outside.set(name, value);
        }
        outside
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    pub(crate) fn read<R>(&self, body: impl FnOnce(&Sources<'_>) -> R) -> R {
        body(&Sources {
            env: &|name| self.env.get(name).cloned(),
            read_file: &|path| {
                let content = path.to_str().and_then(|path| self.files.get(path));
                content.cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            },
            warn: &|line| self.warnings.borrow_mut().push(line),
        })
    }

    pub(crate) fn sink(&self, spec: &str) -> Result<SinkConfig, ConfigError> {
        self.read(|sources| SinkConfig::from_spec(spec, sources))
    }

    /// The settings of a correct `otlp` sink.
    pub(crate) fn otlp(&self, spec: &str) -> OtlpConfig {
        match self.sink(spec).map(|sink| sink.kind) {
            Ok(SinkKind::Otlp(config)) => config,
            other => panic!("{spec}: {other:?}"),
        }
    }

    /// The line that a wrong sink ends with.
    pub(crate) fn refusal(&self, spec: &str) -> String {
        match self.sink(spec) {
            Err(error) => error.to_string(),
            Ok(sink) => panic!("{spec}: taken as {sink:?}"),
        }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().clone()
    }
}
