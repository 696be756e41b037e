//! The one error of this crate: a single line that says what failed, why, and what is valid.

/// A setting that cannot be used. `Display` is one line without any secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Where the setting was written, such as `--sink otlp`.
    pub place: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text does not start with a sink's name. The text is not repeated: it may be a misplaced secret.
    #[error("no sink name at the start; write name[,key=value]...; valid sinks: {valid}")]
    NoName {
        /// Names of the sinks, comma separated.
        valid: String,
    },
    /// A sink that does not exist.
    #[error("unknown sink `{name}`; valid sinks: {valid}")]
    UnknownSink {
        /// The name as written.
        name: String,
        /// Names of the sinks, comma separated.
        valid: String,
    },
    /// An item that breaks the grammar.
    #[error("item {item}: {fault}")]
    Item {
        /// Position after the sink's name, counted from 1. Items are named by position, since an unescaped comma
        /// makes the tail of a secret look like a key.
        item: usize,
        /// What is wrong with it.
        fault: ItemFault,
    },
    /// A key that this sink does not have.
    #[error("unknown key `{key}`; valid keys: {valid}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Keys of this sink, comma separated.
        valid: String,
    },
    /// A setting whose value cannot be used.
    #[error("{setting}: {why}")]
    Setting {
        /// The key, or the environment variable that the value came from.
        setting: String,
        /// Why, and what is valid.
        why: String,
    },
    /// A rule about what is told cannot be used: why, and what is valid.
    #[error("{0}")]
    Policy(String),
}

impl Problem {
    /// A setting whose value cannot be used.
    pub(crate) fn setting(setting: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Setting { setting: setting.into(), why: why.into() }
    }
}

/// How an item of the `--sink` grammar is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemFault {
    /// No `=` in it.
    #[error("no `=`; write key=value, and a comma inside a value as `\\,`")]
    NoEquals,
    /// The key is empty or has a blank, a backslash or a character outside printable ASCII.
    #[error("the text before `=` is no key; a key is printable ASCII without blanks and backslashes")]
    BadKey,
    /// The key was given before.
    #[error("it repeats the key of item {0}; give each key once")]
    Repeated(usize),
    /// The key is unknown, and stands right behind a secret that may have had a comma.
    #[error("unknown key; a comma inside a value is written `\\,`; valid keys: {0}")]
    UnknownAfterSecret(String),
    /// A backslash before something else than `,` `\` `$`.
    #[error("unknown escape; a backslash stands only in `\\,` `\\\\` `\\$`")]
    BadEscape,
    /// `${` that does not start a reference.
    #[error("broken reference; write ${{env:NAME}}, and a literal `${{` as `\\${{`")]
    BadReference,
    /// The variable of a reference is unset or empty.
    #[error("environment variable {0} is not set or empty")]
    Unset(String),
    /// The file of `@path` cannot be read. The path is not repeated: it may be a secret that starts with `@`.
    #[error("cannot read the file after `@`: {0}; a literal `@` is written `@@`")]
    File(String),
    /// The file of `@path` is not text.
    #[error("the file after `@` is not UTF-8 text")]
    NotText,
}

/// Text from outside made fit for one line: control characters escaped, at most 80 characters.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 80;
    let mut line: String = text.chars().take(LIMIT).flat_map(char::escape_debug).collect();
    if text.chars().nth(LIMIT).is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_is_one_bounded_line() {
        assert_eq!(shown("grpc"), "grpc");
        assert_eq!(shown("a\nb\u{1b}"), "a\\nb\\u{1b}");
        assert_eq!(shown(&"x".repeat(80)), "x".repeat(80));
        assert_eq!(shown(&"x".repeat(81)), format!("{}...", "x".repeat(80)));
    }
}
