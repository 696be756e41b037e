//! Text to nodes: one document, within limits.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{
    errors::Errors,
    node::{Entry, Node, Path, Scalar, Value, looks_like_name},
    substitute::substitute,
};
use crate::{Secret, Sources, error::shown};

/// Bytes of a file at most.
pub const MAX_BYTES: usize = 1 << 20;
/// Maps and lists within each other at most.
const MAX_DEPTH: usize = 16;
/// Values of a file at most.
const MAX_NODES: usize = 20_000;

/// Reads a file's content. `None` when it is no YAML, or more than a configuration needs; then that is the last error.
/// Values whose references cannot be resolved are errors too, and
/// the reading goes on.
pub fn parse(content: &[u8], sources: &Sources<'_>, errors: &Errors) -> Option<Node> {
    if content.len() > MAX_BYTES {
        errors.line(0, &format!("larger than {MAX_BYTES} bytes, which no configuration needs"));
        return None;
    }
    let Ok(text) = std::str::from_utf8(content) else {
        errors.line(0, "not UTF-8 text");
        return None;
    };
    let mut builder = Builder { sources, errors, open: Vec::new(), root: None, nodes: 0 };
    for event in Parser::new_from_str(text) {
        let (line, result) = match event {
            Ok((event, span)) => (span.start.line(), builder.take(event, span)),
            Err(error) => (error.marker().line(), Err(format!("not valid YAML: {}", shown(error.info())))),
        };
        if let Err(why) = result {
            errors.line(line, &why);
            return None;
        }
    }
    // An empty file says nothing, which is the same as a map without keys.
    let empty = Node { value: Value::Map(Vec::new()), line: 1, column: 1, path: Path::default() };
    Some(builder.root.unwrap_or(empty))
}

struct Builder<'a, 's> {
    sources: &'a Sources<'s>,
    errors: &'a Errors,
    /// Maps and lists not yet closed, the innermost last.
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

/// A map or list under construction.
struct Open {
    node: Node,
    /// The key whose value comes next, in a map, with its line.
    key: Option<(String, usize)>,
}

impl Builder<'_, '_> {
    /// An `Err` ends the reading.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("a second document starts here; a configuration is one".to_owned())
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(_) => Err("aliases (`*name`) are not supported; write the value out".to_owned()),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                Err("tags (`!name`) are not supported; write a plain value".to_owned())
            }
            Event::Scalar(text, style, _, None) => self.scalar(&text, style, span),
            Event::SequenceStart(_, None) => self.begin(Value::List(Vec::new()), span),
            Event::MappingStart(_, None) => self.begin(Value::Map(Vec::new()), span),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = self.open.pop() {
                    self.put(done.node);
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, value: Value, span: Span) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} maps and lists within each other"));
        }
        if self.wants_key() {
            return Err("a key is a single value".to_owned());
        }
        let node = self.node(value, span)?;
        self.open.push(Open { node, key: None });
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Result<(), String> {
        if self.wants_key() {
            return self.key(text, span);
        }
        let is_plain = style == ScalarStyle::Plain;
        let is_null = is_plain && ["", "~", "null", "Null", "NULL"].contains(&text);
        let mut node = self.node(Value::Unresolved, span)?;
        let resolved = if is_null { Ok((String::new(), false)) } else { substitute(text, self.sources) };
        match resolved {
            Ok((text, is_referenced)) => {
                node.value = Value::Scalar(Scalar { text: Secret::new(text), is_null, is_referenced });
            }
            Err(why) => self.errors.at(&node, why),
        }
        self.put(node);
        Ok(())
    }

    /// Notes a key, whose value comes next.
    fn key(&mut self, key: &str, span: Span) -> Result<(), String> {
        if key == "<<" {
            return Err("merge keys (`<<`) are not supported; write the settings out".to_owned());
        }
        let Some(map) = self.open.last_mut() else {
            return Ok(());
        };
        if let Some(first) = map.node.entries().iter().find(|entry| entry.key == key) {
            let name = if looks_like_name(key) { format!(" `{}`", shown(key)) } else { String::new() };
            return Err(format!("the key{name} stands already at line {}; give each key once", first.line));
        }
        map.key = Some((key.to_owned(), span.start.line()));
        Ok(())
    }

    /// Whether the next scalar is a key.
    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.node.value, Value::Map(_)) && open.key.is_none())
    }

    fn node(&mut self, value: Value, span: Span) -> Result<Node, String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values"));
        }
        let path = match self.open.last() {
            None => Path::default(),
            Some(Open { key: Some((key, _)), node }) => node.path.key(key),
            Some(Open { key: None, node }) => node.path.index(node.elements().len()),
        };
        Ok(Node { value, line: span.start.line(), column: span.start.col() + 1, path })
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::Map(entries), Some((key, line))) => entries.push(Entry { key, line, node }),
            (Value::List(elements), _) => elements.push(node),
            _ => {}
        }
    }
}
