//! References in a value, as in the Collector's files.
//!
//! | in a value | means |
//! |---|---|
//! | `${env:NAME}` or `${NAME}` | the environment variable, which must be set and not empty |
//! | `${env:NAME:-default}` | the same, or the default, to the first `}` |
//! | `${file:PATH}` | the content of the file, less one newline at its end |
//! | `$$` | a literal `$` |
//!
//! A `$` before anything else is itself. What a reference brings in is taken as it is. Unlike in the Collector, a variable
//! that is not set is an error: sending nothing for a password helps nobody.

use std::path::Path;

use crate::Sources;

/// The text with references replaced, and whether there were any.
pub(super) fn substitute(raw: &str, sources: &Sources<'_>) -> Result<(String, bool), String> {
    let mut value = String::with_capacity(raw.len());
    let mut is_referenced = false;
    let mut rest = raw;
    while let Some((plain, after)) = rest.split_once('$') {
        value.push_str(plain);
        if let Some(after) = after.strip_prefix('$') {
            value.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let (reference, after) = inner.split_once('}').ok_or(BROKEN)?;
            value.push_str(&resolve(reference, sources)?);
            is_referenced = true;
            rest = after;
        } else {
            value.push('$');
            rest = after;
        }
    }
    value.push_str(rest);
    Ok((value, is_referenced))
}

const BROKEN: &str =
    "broken reference; write ${env:NAME}, ${env:NAME:-default} or ${file:PATH}, and a literal `$` as `$$`";

fn resolve(reference: &str, sources: &Sources<'_>) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("file", path)) if !path.is_empty() => {
            sources.text(Path::new(path)).map_err(|error| format!("the file of the reference {error}"))
        }
        Some(("env", variable)) => read_variable(variable, sources),
        // `${NAME:-default}` has its colon behind the name.
        Some((_, default)) if !default.starts_with('-') => Err(BROKEN.to_owned()),
        _ => read_variable(reference, sources),
    }
}

fn read_variable(text: &str, sources: &Sources<'_>) -> Result<String, String> {
    let (name, default) = match text.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (text, None),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(fits) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(BROKEN.to_owned());
    }
    sources.var(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        format!("environment variable {name} is not set or empty; set it, or give ${{env:{name}:-default}}")
    })
}
