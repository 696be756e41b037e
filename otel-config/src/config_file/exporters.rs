//! `exporters:`: each entry is translated into the [`Spec`] that `--sink` gives, so that every sink has one reader, and
//! what that finds wrong is told at the line of the key.

use super::tables::{EXPORTERS, Exporter, Key};
use crate::{
    Problem, Secret, SinkConfig, Sources, Spec,
    error::shown,
    spec::Item,
    yaml::{Entry, Errors, Node, Shape, Value},
};

/// The sinks of a file, and whether a secret is written in it.
pub(super) fn read(exporters: &Node, sources: &Sources<'_>, errors: &Errors) -> (Vec<SinkConfig>, bool) {
    let mut sinks = Vec::new();
    let mut has_secret = false;
    for entry in exporters.entries() {
        let kind = entry.key.split('/').next().unwrap_or_default();
        let Some(exporter) = EXPORTERS.iter().find(|exporter| exporter.field.name == kind) else {
            continue;
        };
        // What differs from the shape is noted already, and has no translation.
        if !exporter.field.shape.check(&entry.node, &Errors::new("")) {
            continue;
        }
        let translation = Translation::of(exporter, &entry.node);
        has_secret |= translation.has_secret;
        sinks.extend(translation.read(entry, sources, errors));
    }
    (sinks, has_secret)
}

/// An entry as the sink reads it.
pub(super) struct Translation<'a> {
    exporter: &'static Exporter,
    spec: Spec,
    /// The node of each item of `spec`; the entry's own for what its name implies.
    nodes: Vec<&'a Node>,
    has_secret: bool,
}

impl<'a> Translation<'a> {
    pub(super) fn of(exporter: &'static Exporter, node: &'a Node) -> Self {
        let spec = Spec { name: exporter.sink.to_owned(), items: Vec::new() };
        let mut this = Self { exporter, spec, nodes: Vec::new(), has_secret: false };
        this.put_map(exporter.field.shape, "", node);
        for (key, value) in exporter.implied {
            this.put(key, value, node);
        }
        this
    }

    fn put_map(&mut self, shape: Shape, place: &str, node: &'a Node) {
        let Shape::Map(groups) = shape else {
            return;
        };
        for entry in node.entries() {
            let field = groups.iter().copied().flatten().find(|field| field.name == entry.key);
            if let Some(field) = field {
                self.put_field(field.shape, &join(place, field.name), &entry.node);
            }
        }
    }

    fn put_field(&mut self, shape: Shape, place: &str, node: &'a Node) {
        let key = self.exporter.key(place);
        match shape {
            Shape::Map(_) => {
                self.put_map(shape, place, node);
                if let Some(key) = Exporter::switched_on_by(place) {
                    self.put(key, "", node);
                }
            }
            Shape::Named(shape) => {
                for entry in node.entries() {
                    self.put_value(*shape, &format!("{}{}", key.name, entry.key), key, &entry.node);
                }
            }
            Shape::Only(..) | Shape::Refused(_) => {}
            shape => self.put_value(shape, key.name, key, node),
        }
    }

    fn put_value(&mut self, shape: Shape, name: &str, key: Key<'_>, node: &'a Node) {
        if matches!(shape, Shape::Secret) {
            self.note_secret(node);
        }
        // It fits its shape, so that there is one.
        if let Ok(value) = value(shape, key, node) {
            self.put(name, &value, node);
        }
    }

    /// A secret that came from elsewhere is no concern of who may read the file.
    fn note_secret(&mut self, node: &Node) {
        self.has_secret |= matches!(&node.value, Value::Scalar(scalar) if !scalar.is_referenced);
    }

    /// The first value of a key stays: what is written precedes what a name implies.
    fn put(&mut self, key: &str, value: &str, node: &'a Node) {
        if self.spec.get(key).is_none() {
            self.spec.items.push(Item { key: key.to_owned(), value: Secret::new(value.to_owned()) });
            self.nodes.push(node);
        }
    }

    /// Reads the sink. A reader stops at the first problem, so what is wrong is taken out and the rest read again.
    fn read(mut self, entry: &Entry, sources: &Sources<'_>, errors: &Errors) -> Option<SinkConfig> {
        let warn = |line: String| (sources.warn)(format!("exporter {}: {line}", shown(&entry.key)));
        let read = |spec: &Spec, warn| SinkConfig::read(spec, &Sources { warn, ..*sources });
        let mut taken_out: Vec<String> = Vec::new();
        let mut problem = match read(&self.spec, &warn) {
            Ok(sink) => return Some(SinkConfig { name: Some(entry.key.clone()), ..sink }),
            Err(problem) => problem,
        };
        // Each round takes an item out, and warnings were given by the first.
        loop {
            if !follows(&problem, &taken_out) {
                self.note(&problem, entry, errors);
            }
            let at = self.position(&problem)?;
            self.nodes.remove(at);
            taken_out.push(self.spec.items.remove(at).key);
            problem = read(&self.spec, &|_| ()).err()?;
        }
    }

    /// Notes a problem where it stands, in the words of the file.
    fn note(&self, problem: &Problem, entry: &Entry, errors: &Errors) {
        let why = match problem {
            Problem::Setting { why, .. } => why.clone(),
            Problem::UnknownKey { .. } | Problem::Item { .. } => NOT_HERE.to_owned(),
            Problem::NoName { .. } | Problem::UnknownSink { .. } | Problem::Policy(_) => problem.to_string(),
        };
        let why = self.exporter.in_words_of_the_file(&self.without_references(why));
        let node = self.position(problem).and_then(|position| self.nodes.get(position));
        match (node, problem) {
            (Some(node), _) if !std::ptr::eq(*node, &raw const entry.node) => errors.at(node, why),
            (_, Problem::Setting { setting, .. }) => {
                errors.at_key(entry, format!("{}: {why}", self.exporter.place_of(setting)));
            }
            _ => errors.at_key(entry, why),
        }
    }

    /// The item that a problem is about.
    fn position(&self, problem: &Problem) -> Option<usize> {
        let key = match problem {
            Problem::Setting { setting, .. } => setting,
            Problem::UnknownKey { key, .. } => key,
            Problem::Item { item, .. } => return item.checked_sub(1),
            Problem::NoName { .. } | Problem::UnknownSink { .. } | Problem::Policy(_) => return None,
        };
        self.spec.items.iter().position(|item| shown(&item.key) == *key)
    }

    /// Keys that the sink does not know, for tests of the tables.
    #[cfg(test)]
    pub(super) fn unknown_keys(mut self, sources: &Sources<'_>) -> Vec<String> {
        let mut unknown = Vec::new();
        while let Err(problem @ (Problem::UnknownKey { .. } | Problem::Item { .. })) =
            SinkConfig::read(&self.spec, sources)
        {
            let at = self.position(&problem).unwrap();
            unknown.push(self.spec.items.remove(at).key);
        }
        unknown
    }

    /// A sink repeats a wrong value that is no secret; what came from outside the file is one all the same.
    fn without_references(&self, mut text: String) -> String {
        for (item, node) in self.spec.items.iter().zip(&self.nodes) {
            let value = shown(item.value.expose());
            if !value.is_empty() && matches!(&node.value, Value::Scalar(scalar) if scalar.is_referenced) {
                text = text.replace(&format!("`{value}`"), "`***`");
            }
        }
        text
    }
}

const NOT_HERE: &str = "this exporter has no such setting";

/// Whether a problem is only there because of what was taken out.
fn follows(problem: &Problem, taken_out: &[String]) -> bool {
    let Problem::Setting { setting, why } = problem else {
        return false;
    };
    taken_out.iter().any(|key| key == setting || why.contains(&format!("`{key}`")))
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// The text that the sink reads.
fn value(shape: Shape, key: Key<'_>, node: &Node) -> Result<String, String> {
    let value = match shape {
        Shape::Duration => format!("{}ms", node.duration()?.as_millis()),
        Shape::Size => node.size()?.to_string(),
        Shape::Boolean => node.boolean()?.to_string(),
        _ => node.texts()?.into_iter().map(|text| key.word(text)).collect::<Vec<_>>().join("+"),
    };
    Ok(format!("{value}{}", key.unit))
}
