//! The `--sink` grammar: `name[,key=value]...`.
//!
//! | in a value | means |
//! |---|---|
//! | `\,` `\\` `\$` | a literal comma, backslash, dollar; any other escape is an error |
//! | `${env:NAME}` | the environment variable, which must be set and not empty; a `$` without `{` is itself |
//! | `@path` at the start | the content of the file, less one newline at its end; the path may have references |
//! | `@@` at the start | a literal `@` |
//!
//! What a reference or a file brings in is taken as it is: its commas, `@` and `${` have no meaning.

pub(crate) mod secrets;

use std::path::Path;

use crate::{ConfigError, ItemFault, Problem, Secret, Sources, sources::TextError};

/// One sink as written: its name and its settings, each key once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The sink's name: ASCII letters, digits, `-` and `_`.
    pub name: String,
    /// Settings in the order given.
    pub items: Vec<Item>,
}

/// One setting. Every value counts as secret until the sink knows better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The key: printable ASCII without blanks, `=`, `,` and `\`.
    pub key: String,
    /// The value with escapes, references and files resolved.
    pub value: Secret,
}

/// A key that a sink knows; a name that ends in `.NAME` stands for all keys with that prefix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    name: &'static str,
    secret: bool,
}

impl Key {
    pub(crate) const fn plain(name: &'static str) -> Self {
        Self { name, secret: false }
    }

    pub(crate) const fn secret(name: &'static str) -> Self {
        Self { name, secret: true }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.name
    }

    pub(crate) fn matches(self, key: &str) -> bool {
        match self.name.strip_suffix("NAME") {
            Some(prefix) => key.len() > prefix.len() && key.starts_with(prefix),
            None => key == self.name,
        }
    }
}

/// A value and the name of the key or variable it came from, for errors.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) setting: String,
    pub(crate) value: String,
}

impl Spec {
    /// Reads the text of one `--sink`, resolving references and files.
    ///
    /// # Errors
    /// When the text breaks the grammar, a variable is unset or a file cannot be read. `sinks` are the names to offer
    /// when the text has none.
    pub fn parse(text: &str, sinks: &[&str], sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut parts = split_at_commas(text).into_iter();
        let name = parts.next().filter(|name| is_name(name)).ok_or_else(|| ConfigError {
            place: "--sink".to_owned(),
            problem: Problem::NoName { valid: sinks.join(", ") },
        })?;
        let mut items: Vec<Item> = Vec::new();
        for part in parts {
            let item = parse_item(part, &items, sources).map_err(|fault| ConfigError {
                place: format!("--sink {name}"),
                problem: Problem::Item { item: items.len() + 1, fault },
            })?;
            items.push(item);
        }
        Ok(Self { name: name.to_owned(), items })
    }

    /// The value of a key, if given.
    pub fn get(&self, key: &str) -> Option<&str> {
        let item = self.items.iter().find(|item| item.key == key)?;
        Some(item.value.expose())
    }

    /// The value of a key with its name, if given.
    pub(crate) fn found(&self, key: &str) -> Option<Found> {
        let value = self.get(key)?.to_owned();
        Some(Found { setting: key.to_owned(), value })
    }

    /// Fails on the first key that is in none of the lists.
    pub(crate) fn check_keys(&self, lists: &[&[Key]]) -> Result<(), Problem> {
        let keys: Vec<Key> = lists.concat();
        let valid = || keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
        let mut after_secret = false;
        for (item, position) in self.items.iter().zip(1..) {
            match keys.iter().find(|key| key.matches(&item.key)) {
                Some(key) => after_secret = key.secret,
                None if after_secret => {
                    let fault = ItemFault::UnknownAfterSecret(valid());
                    return Err(Problem::Item { item: position, fault });
                }
                None => {
                    return Err(Problem::UnknownKey { key: crate::error::shown(&item.key), valid: valid() });
                }
            }
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// Splits at commas without a backslash before them.
pub(crate) fn split_at_commas(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|c| {
        let splits = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    })
    .collect()
}

fn parse_item(part: &str, before: &[Item], sources: &Sources<'_>) -> Result<Item, ItemFault> {
    let (key, raw) = part.split_once('=').ok_or(ItemFault::NoEquals)?;
    if !is_key(key) {
        return Err(ItemFault::BadKey);
    }
    if let Some(at) = before.iter().position(|item| item.key == key) {
        return Err(ItemFault::Repeated(at + 1));
    }
    let value = match raw.strip_prefix('@') {
        Some(literal) if literal.starts_with('@') => resolve(literal, sources)?,
        Some(path) => read_text(&resolve(path, sources)?, sources)?,
        None => resolve(raw, sources)?,
    };
    Ok(Item { key: key.to_owned(), value: Secret::new(value) })
}

/// Replaces escapes and references.
fn resolve(raw: &str, sources: &Sources<'_>) -> Result<String, ItemFault> {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, mark, after)) = split_at_mark(rest) {
        value.push_str(plain);
        rest = if mark == '\\' {
            let mut chars = after.chars();
            let literal = chars.next().filter(|c| [',', '\\', '$'].contains(c));
            value.push(literal.ok_or(ItemFault::BadEscape)?);
            chars.as_str()
        } else if after.starts_with('{') {
            let (name, after) = split_reference(after).ok_or(ItemFault::BadReference)?;
            value.push_str(&sources.var(name).ok_or_else(|| ItemFault::Unset(name.to_owned()))?);
            after
        } else {
            value.push(mark);
            after
        };
    }
    value.push_str(rest);
    Ok(value)
}

/// Splits at the first `\` or `$`: what is before, the mark, what is after.
fn split_at_mark(text: &str) -> Option<(&str, char, &str)> {
    let (at, mark) = text.char_indices().find(|&(_, c)| c == '\\' || c == '$')?;
    let (before, rest) = text.split_at(at);
    Some((before, mark, rest.strip_prefix(mark)?))
}

/// Splits `{env:NAME}rest` into the variable's name and the rest.
fn split_reference(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.strip_prefix("{env:")?.split_once('}')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_variable = name.chars().all(fits) && name.starts_with(|c: char| !c.is_ascii_digit());
    is_variable.then_some((name, rest))
}

fn read_text(path: &str, sources: &Sources<'_>) -> Result<String, ItemFault> {
    sources.text(Path::new(path)).map_err(|error| match error {
        TextError::Unreadable(error) => ItemFault::File(error.to_string()),
        TextError::NotText => ItemFault::NotText,
    })
}

#[cfg(test)]
mod tests;
