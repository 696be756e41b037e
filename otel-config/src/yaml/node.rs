//! A node and where it stands.

use std::{fmt, sync::Arc};

use crate::{Secret, error::shown};

/// A value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// The keys that lead to it.
    pub path: Path,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A single value, not yet of any type.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map in the order written; no key twice.
    Map(Vec<Entry>),
    /// A single value whose reference has no answer, which is an error noted already.
    Unresolved,
}

/// A single value. It counts as secret until its reader knows better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text with references replaced.
    pub text: Secret,
    /// Whether it is no value at all: nothing, `~` or `null`, without quotes.
    pub is_null: bool,
    /// Whether part of it came from the environment or from a file, so that no error may repeat it.
    pub is_referenced: bool,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's line, from 1.
    pub line: usize,
    /// The value.
    pub node: Node,
}

/// The keys and positions that lead to a node, such as `exporters.otlp.headers`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Path(Option<Arc<Step>>);

#[derive(PartialEq, Eq)]
struct Step {
    parent: Path,
    name: String,
}

impl Path {
    /// The path of a key of this node.
    pub(crate) fn key(&self, key: &str) -> Self {
        let dot = if self.0.is_some() { "." } else { "" };
        self.step(format!("{dot}{}", named(key)))
    }

    /// The path of an element of this list, from 0.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(format!("[{index}]"))
    }

    fn step(&self, name: String) -> Self {
        Self(Some(Arc::new(Step { parent: self.clone(), name })))
    }

    /// Whether it is the whole file.
    pub fn is_root(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(step) => write!(f, "{}{}", step.parent, step.name),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A key as errors repeat it. What does not look like a name may be a secret that lost its place, such as
/// `{password hunter2}`.
pub(crate) fn named(key: &str) -> String {
    if looks_like_name(key) { shown(key) } else { "***".to_owned() }
}

/// Whether a key is made as names are.
pub(crate) fn looks_like_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}

impl Node {
    /// The value of a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; none for anything else.
    pub fn elements(&self) -> &[Node] {
        match &self.value {
            Value::List(elements) => elements,
            _ => &[],
        }
    }

    /// Whether it is no value at all: nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null)
    }

    /// Whether every reference in it has its answer.
    pub(crate) fn is_resolved(&self) -> bool {
        self.value != Value::Unresolved
            && self.elements().iter().all(Self::is_resolved)
            && self.entries().iter().all(|entry| entry.node.is_resolved())
    }

    /// What it is, for errors.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null => "nothing",
            Value::Scalar(_) | Value::Unresolved => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
