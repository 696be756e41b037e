//! `stdout[,format=table|json]`: events as lines on standard output.

use super::delivery;
use crate::{Problem, Spec, decode::choose, spec::Key};

pub(super) const KEYS: &[Key] = &[Key::plain("format")];

/// Settings of the `stdout` sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StdoutConfig {
    /// How a line looks.
    pub format: StdoutFormat,
}

/// How a line on standard output looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StdoutFormat {
    /// Aligned columns for people.
    #[default]
    Table,
    /// One JSON object a line for programs.
    Json,
}

impl StdoutConfig {
    pub(super) fn from_spec(spec: &Spec) -> Result<Self, Problem> {
        spec.check_keys(&[KEYS, delivery::EVENT_KEYS])?;
        let format = match spec.get("format") {
            Some(text) => choose(text, &[("table", StdoutFormat::Table), ("json", StdoutFormat::Json)])
                .map_err(|why| Problem::setting("format", why))?,
            None => StdoutFormat::default(),
        };
        Ok(Self { format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SinkConfig, SinkKind, testing::Outside};

    #[test]
    fn format_is_table_unless_given() {
        let table = [
            ("stdout", StdoutFormat::Table),
            ("stdout,format=table", StdoutFormat::Table),
            ("stdout,format=json", StdoutFormat::Json),
        ];
        for (spec, format) in table {
            assert_eq!(
                Outside::default().sink(spec),
                Ok(SinkKind::Stdout(StdoutConfig { format }).into()),
                "{spec}"
            );
        }
        assert_eq!(
            SinkConfig::default(),
            SinkKind::Stdout(StdoutConfig { format: StdoutFormat::Table }).into()
        );
    }

    #[test]
    fn mistakes_name_what_is_valid() {
        let table = [
            ("stdout,format=xml", "--sink stdout: format: `xml` is unknown; valid: table, json"),
            ("stdout,fmt=json", "--sink stdout: unknown key `fmt`; valid keys: format, events"),
        ];
        for (spec, line) in table {
            assert_eq!(Outside::default().refusal(spec), line);
        }
    }
}
