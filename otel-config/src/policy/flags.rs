//! Policy as flags of the command line have it: `key=value[,key=value]...`.
//!
//! A key may come again: its values are a list. A comma inside a value is written `\,`, a backslash `\\`.

use super::sampling::Draft;
use super::{Rule, SamplingRule, Settings, parse_network};
use crate::spec::split_at_commas;
use crate::{ConfigError, Problem};

/// A key and all its values.
type Entry<'a> = (&'a str, Vec<String>);

impl Settings {
    /// Takes the value of a `--network`.
    ///
    /// # Errors
    /// It is not `NAME=CIDR[,CIDR]...`.
    pub fn add_network(&mut self, text: &str) -> Result<(), ConfigError> {
        self.networks.extend(parse_network(text).map_err(|why| refused("network", why))?);
        Ok(())
    }

    /// Takes the value of an `--include`.
    ///
    /// # Errors
    /// It is no rule.
    pub fn add_include(&mut self, text: &str) -> Result<(), ConfigError> {
        self.filters.include.push(parse_rule(text).map_err(|why| refused("include", why))?);
        Ok(())
    }

    /// Takes the value of an `--exclude`.
    ///
    /// # Errors
    /// It is no rule.
    pub fn add_exclude(&mut self, text: &str) -> Result<(), ConfigError> {
        self.filters.exclude.push(parse_rule(text).map_err(|why| refused("exclude", why))?);
        Ok(())
    }

    /// Takes the value of an `--expect`.
    ///
    /// # Errors
    /// It is no expectation.
    pub fn add_expectation(&mut self, text: &str) -> Result<(), ConfigError> {
        self.expectations.0.push(parse_expectation(text).map_err(|why| refused("expect", why))?);
        Ok(())
    }

    /// Takes the value of a `--sample`.
    ///
    /// # Errors
    /// It is no rule of sampling.
    pub fn add_sampling(&mut self, text: &str) -> Result<(), ConfigError> {
        self.sampling.0.push(parse_sampling(text).map_err(|why| refused("sample", why))?);
        Ok(())
    }
}

fn refused(flag: &str, why: String) -> ConfigError {
    ConfigError { place: format!("--{flag}"), problem: Problem::Policy(why) }
}

/// Reads a rule that has at least one condition.
pub(super) fn parse_rule(text: &str) -> Result<Rule, String> {
    let mut rule = Rule::default();
    for (key, values) in entries(text)? {
        rule.set(key, &borrowed(&values))?;
    }
    rule.checked()
}

/// Reads an expectation. A key of its target without a value means that none is expected.
pub(super) fn parse_expectation(text: &str) -> Result<Rule, String> {
    let mut rule = Rule::default();
    for (key, values) in entries(text)? {
        let values = borrowed(&values);
        rule.set(key, if values == [""] { &[] } else { &values })?;
    }
    rule.checked_expectation()
}

/// Reads a rule of sampling.
pub(super) fn parse_sampling(text: &str) -> Result<SamplingRule, String> {
    let mut draft = Draft::default();
    for (key, values) in entries(text)? {
        let values = borrowed(&values);
        draft.set(key, if key == "per" && values == [""] { &[] } else { &values })?;
    }
    draft.finish()
}

/// All keys in the order of their first value.
pub(super) fn entries(text: &str) -> Result<Vec<Entry<'_>>, String> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for part in split_at_commas(text).into_iter().filter(|_| !text.is_empty()) {
        let (key, value) = part.split_once('=').ok_or("a part has no `=`; write key=value[,key=value]...")?;
        let value = unescaped(value)?;
        match entries.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => entries.push((key, vec![value])),
        }
    }
    Ok(entries)
}

pub(super) fn borrowed(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

fn unescaped(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => characters
                .next()
                .filter(|c| ",\\".contains(*c))
                .ok_or("unknown escape; valid: `\\,` `\\\\`")?,
            _ => character,
        });
    }
    Ok(text)
}
