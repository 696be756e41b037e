//! What a part of the file may look like: one description for checks and for the editors' schema.

use super::{
    errors::Errors,
    nearest::nearest,
    node::{Entry, Node, Value, looks_like_name},
};
use crate::error::shown;

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub shape: Shape,
    /// What it does, in a sentence for editors.
    pub about: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Any single value.
    Text,
    /// Any single value that is never repeated.
    Secret,
    /// `true` or `false`.
    Boolean,
    /// A whole number from 0.
    Integer,
    /// A number.
    Number,
    /// A duration as in Go.
    Duration,
    /// Bytes, with a unit or without.
    Size,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// A text, or a list of texts.
    Texts,
    /// A word, or a list of words, of these.
    Words(&'static [&'static str]),
    /// A list of such values.
    List(&'static Shape),
    /// One such value, or a list of them.
    OneOrMore(&'static Shape),
    /// A map with the keys of these groups.
    Map(&'static [&'static [Field]]),
    /// A map whose keys are these, alone or with a `/suffix` of the user's choice.
    Typed(&'static [Field]),
    /// A map with keys of the user's choice and such values.
    Named(&'static Shape),
    /// This value and no other: the key is known from elsewhere, and the second text says why it cannot be changed.
    Only(&'static str, &'static str),
    /// Nothing: the key is known from elsewhere, and this says why it is not here and what to write.
    Refused(&'static str),
}

impl Field {
    /// A key.
    pub const fn new(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { name, shape, about }
    }
}

impl Shape {
    /// Notes everything in which a node differs from this shape. Whether there was nothing to note, and every reference
    /// in it has its answer: only then do the getters of [`Node`] have what they ask for.
    pub fn check(&self, node: &Node, errors: &Errors) -> bool {
        let before = errors.len();
        self.compare(node, errors);
        errors.len() == before && node.is_resolved()
    }

    fn compare(&self, node: &Node, errors: &Errors) {
        if node.value == Value::Unresolved {
            return;
        }
        let valid = match *self {
            Self::Text | Self::Secret => node.text().map(drop),
            Self::Boolean => node.boolean().map(drop),
            Self::Integer => node.integer().map(drop),
            Self::Number => node.number().map(drop),
            Self::Duration => node.duration().map(drop),
            Self::Size => node.size().map(drop),
            Self::Word(words) => node.word(words).map(drop),
            Self::Texts => return check_one_or_list(&Self::Text, node, errors),
            Self::Words(words) => return check_one_or_list(&Self::Word(words), node, errors),
            Self::List(shape) => match &node.value {
                Value::List(elements) => {
                    return elements.iter().for_each(|element| shape.compare(element, errors));
                }
                _ => Err(format!("it is {}; valid: a list", node.kind())),
            },
            Self::OneOrMore(shape) => return check_one_or_list(shape, node, errors),
            Self::Map(groups) => return check_map(groups, node, errors),
            Self::Typed(fields) => return check_typed(fields, node, errors),
            Self::Named(shape) => return check_named(shape, node, errors),
            Self::Only(value, why) => node.word(&[value]).map(drop).map_err(|_| why.to_owned()),
            Self::Refused(why) => Err(why.to_owned()),
        };
        errors.ok(node, valid);
    }
}

fn check_one_or_list(shape: &Shape, node: &Node, errors: &Errors) {
    match &node.value {
        Value::List(elements) => elements.iter().for_each(|element| shape.compare(element, errors)),
        _ => shape.compare(node, errors),
    }
}

/// A map, for which nothing at all stands too: `stdout:` alone is a sink without settings.
fn map_entries<'a>(node: &'a Node, errors: &Errors) -> &'a [Entry] {
    if !node.is_null() && !matches!(node.value, Value::Map(_)) {
        errors.at(node, format!("it is {}; valid: a map, `key: value` in lines of their own", node.kind()));
    }
    node.entries()
}

fn check_map(groups: &[&[Field]], node: &Node, errors: &Errors) {
    let fields: Vec<Field> = groups.concat();
    for entry in map_entries(node, errors) {
        match fields.iter().find(|field| field.name == entry.key) {
            Some(field) => check_entry(field, entry, errors),
            None => unknown("key", &entry.key, &fields, (entry, node), errors),
        }
    }
}

fn check_typed(fields: &[Field], node: &Node, errors: &Errors) {
    for entry in map_entries(node, errors) {
        let (name, suffix) = match entry.key.split_once('/') {
            Some((name, suffix)) => (name, Some(suffix)),
            None => (entry.key.as_str(), None),
        };
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            unknown("name", name, fields, (entry, node), errors);
            continue;
        };
        if suffix.is_some_and(|suffix| !looks_like_name(suffix)) {
            errors.at_key(entry, "what follows the `/` is letters, digits and `_-./`");
        }
        check_entry(field, entry, errors);
    }
}

fn check_entry(field: &Field, entry: &Entry, errors: &Errors) {
    match field.shape {
        // Told at the key, which is what is wrong.
        Shape::Refused(why) => errors.at_key(entry, why),
        shape => shape.compare(&entry.node, errors),
    }
}

fn unknown(what: &str, text: &str, fields: &[Field], (entry, map): (&Entry, &Node), errors: &Errors) {
    let names = || {
        let taken = fields.iter().filter(|field| !matches!(field.shape, Shape::Refused(_)));
        taken.map(|field| field.name)
    };
    // A key without a value may be a secret that lost its place.
    let is_name = looks_like_name(text) && !entry.node.is_null();
    let shown_text = if is_name { format!(" `{}`", shown(text)) } else { String::new() };
    let hint = match nearest(text, names()).filter(|_| is_name) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("valid {what}s: {}", names().collect::<Vec<_>>().join(", ")),
    };
    let place = if map.path.is_root() { String::new() } else { format!("{}: ", map.path) };
    errors.line(entry.line, &format!("{place}unknown {what}{shown_text}; {hint}"));
}

fn check_named(shape: &Shape, node: &Node, errors: &Errors) {
    for (entry, position) in map_entries(node, errors).iter().zip(1..) {
        if entry.node.is_null() && matches!(shape, Shape::Secret) {
            errors.line(
                entry.line,
                &format!("{}: entry {position} has no value; write `name: value`", node.path),
            );
        } else {
            shape.compare(&entry.node, errors);
        }
    }
}
