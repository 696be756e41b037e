//! The editors' schema, made of the same tables as the checks, and the sample that shows every key.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value, json};

use super::super::SHAPE;
use super::*;
use crate::yaml::Node;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json");
const SAMPLE: &str = include_str!("../../../convis.yaml");

/// A value of this form, or a reference to one.
fn or_reference(form: &Value) -> Value {
    json!({"anyOf": [form, {"$ref": "#/$defs/reference"}]})
}

fn shared(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn one_or_list(form: &Value) -> Value {
    json!({"anyOf": [form, {"type": "array", "items": form}]})
}

/// What YAML makes of a word.
fn literal(word: &str) -> Value {
    serde_json::from_str(word).unwrap_or_else(|_| word.into())
}

fn words(words: &[&str]) -> Value {
    or_reference(&json!({"enum": words.iter().map(|word| literal(word)).collect::<Vec<_>>()}))
}

fn property(field: &Field) -> Option<(String, Value)> {
    let mut schema = schema(&field.shape)?;
    schema.as_object_mut()?.insert("description".to_owned(), field.about.into());
    Some((field.name.to_owned(), schema))
}

fn schema(shape: &Shape) -> Option<Value> {
    Some(match *shape {
        Shape::Text | Shape::Secret => shared("text"),
        Shape::Boolean => shared("boolean"),
        Shape::Integer => shared("integer"),
        Shape::Number => shared("number"),
        Shape::Duration => shared("duration"),
        Shape::Size => shared("size"),
        Shape::Word(all) => words(all),
        Shape::Texts => one_or_list(&schema(&Shape::Text)?),
        Shape::Words(all) => one_or_list(&words(all)),
        Shape::OneOrMore(shape) => one_or_list(&schema(shape)?),
        Shape::List(shape) => json!({"type": "array", "items": schema(shape)?}),
        Shape::Map(groups) => {
            let fields = groups.iter().copied().flatten();
            let properties: Map<_, _> = fields.filter_map(property).collect();
            json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false})
        }
        Shape::Typed(fields) => {
            let typed = |(name, form)| (format!("^{name}(/[A-Za-z0-9_./-]+)?$"), form);
            let properties: Map<_, _> = fields.iter().filter_map(property).map(typed).collect();
            json!({"type": ["object", "null"], "patternProperties": properties, "additionalProperties": false})
        }
        Shape::Named(shape) => json!({"type": ["object", "null"], "additionalProperties": schema(shape)?}),
        Shape::Only(value, _) => json!({"const": literal(value)}),
        Shape::Refused(_) => return None,
    })
}

fn generated() -> Value {
    let mut all = schema(&SHAPE).unwrap();
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convis",
        "description": "The configuration file of convis.",
        "$defs": {
            "reference": {
                "type": "string",
                "pattern": "\\$\\{",
                "description": "${env:NAME}, ${env:NAME:-default} or ${file:PATH}",
            },
            "text": {"type": ["string", "number", "boolean"]},
            "boolean": or_reference(&json!({"type": "boolean"})),
            "integer": or_reference(&json!({"type": "integer", "minimum": 0})),
            "number": or_reference(&json!({"type": "number"})),
            "duration": or_reference(&json!({"anyOf": [
                {"const": 0},
                {"type": "string", "pattern": "^(0|([0-9]*\\.?[0-9]*(ns|us|ms|s|m|h))+)$"},
            ]})),
            "size": or_reference(&json!({"anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": "^[0-9]+([KMGkmg]|[KMG]iB)?$"},
            ]})),
        },
    });
    all.as_object_mut().unwrap().extend(head.as_object().unwrap().clone());
    all
}

/// Scenario: the committed schema beside one made of the tables.
/// Guarantees: they are the same; `UPDATE_GOLDEN=1` writes it.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test that writes what it compares, when asked to")]
fn the_schema_is_that_of_the_tables() {
    let text = format!("{:#}\n", generated());
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        fs::write(SCHEMA, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(SCHEMA).unwrap_or_default(), text, "run it with UPDATE_GOLDEN=1");
}

/// The schema of a key of an object with this schema.
fn of_key<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let kind = key.split('/').next().unwrap_or_default();
    let typed = format!("^{kind}(/[A-Za-z0-9_./-]+)?$");
    let found =
        [&schema["properties"][key], &schema["patternProperties"][&typed], &schema["additionalProperties"]];
    found.into_iter().find(|schema| schema.is_object())
}

/// Walks a node with its schema; the places of all keys go to `places`, without suffixes and names of the user's choice.
fn walk(node: &Node, schema: &Value, place: &str, places: &mut BTreeSet<String>) {
    for entry in node.entries() {
        let of_key =
            of_key(schema, &entry.key).unwrap_or_else(|| panic!("{place}.{}: not in the schema", entry.key));
        let kind = entry.key.split('/').next().unwrap_or_default();
        let is_named = !schema["additionalProperties"].is_boolean();
        let place = if is_named { place.to_owned() } else { format!("{place}.{kind}") };
        places.insert(place.clone());
        walk(&entry.node, of_key, &place, places);
    }
}

/// Every place that a schema has.
fn places(schema: &Value, place: &str, all: &mut BTreeSet<String>) {
    let properties = [&schema["properties"], &schema["patternProperties"]];
    for (key, schema) in properties.into_iter().filter_map(Value::as_object).flatten() {
        let key = key.trim_start_matches('^').split('(').next().unwrap_or_default();
        let place = format!("{place}.{key}");
        places(schema, &place, all);
        all.insert(place);
    }
}

/// Keys that stand in the sample at another exporter, since the shapes are shared, or under the newer name.
fn is_shown_elsewhere(place: &str, shown: &BTreeSet<String>) -> bool {
    const OLDER: [&str; 3] = [".exporters.otlp", ".exporters.otlphttp", ".exporters.prometheusremotewrite"];
    let last = |place: &str| place.rsplit('.').next().unwrap_or_default().to_owned();
    let older = OLDER.iter().any(|older| place == *older || place.starts_with(&format!("{older}.")));
    let exporter = place.starts_with(".exporters.") && place.matches('.').count() > 2;
    older || exporter && shown.iter().any(|shown| last(shown) == last(place))
}

/// Scenario: the sample.
/// Guarantees: it has no mistake; every key of the schema is in it, and every key of it in the schema.
#[test]
fn the_sample_shows_every_key() {
    let mut outside = Outside::env(&[("API_KEY", "hunter2"), ("TENANT", "blue")]);
    for (path, content) in [
        ("/run/secrets/prometheus", "hunter2\n"),
        ("/run/secrets/newrelic", "hunter2\n"),
        ("/etc/convis/ca.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("/etc/convis/client.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("/etc/convis/client.key", "-----BEGIN PRIVATE KEY-----\n"),
    ] {
        outside = outside.file(path, content);
    }
    outside.read(|sources| {
        let errors = Errors::new("convis.yaml");
        let file = ConfigFile::read(SAMPLE.as_bytes(), sources, &errors);
        let lines = errors.into_lines();
        // Exporters whose sink does not exist are the only thing that may be wrong.
        let unknown = lines.iter().filter(|line| line.contains(": unknown sink `")).count();
        assert_eq!(lines.len(), unknown, "{lines:#?}");
        assert!(!file.sinks.is_empty() && !file.has_secret, "{file:?}");

        let errors = Errors::new("");
        let root = yaml::parse(SAMPLE.as_bytes(), sources, &errors).unwrap();
        let schema = generated();
        let (mut shown, mut known) = (BTreeSet::new(), BTreeSet::new());
        walk(&root, &schema, "", &mut shown);
        places(&schema, "", &mut known);
        let missing: Vec<_> =
            known.difference(&shown).filter(|place| !is_shown_elsewhere(place, &shown)).collect();
        assert_eq!(missing, Vec::<&String>::new(), "the sample lacks them");
    });
}
