//! What the tree, its references and its shapes make of text.

use proptest::prelude::*;

use super::*;
use crate::testing::Outside;

const INNER: &[Field] = &[
    Field::new("on", Shape::Boolean, ""),
    Field::new("size", Shape::Size, ""),
    Field::new("wait", Shape::Duration, ""),
];
const FIELDS: &[Field] = &[
    Field::new("endpoint", Shape::Text, ""),
    Field::new("password", Shape::Secret, ""),
    Field::new("mode", Shape::Word(&["fast", "slow"]), ""),
    Field::new("count", Shape::Integer, ""),
    Field::new("ratio", Shape::Number, ""),
    Field::new("names", Shape::Texts, ""),
    Field::new("kinds", Shape::Words(&["a", "b"]), ""),
    Field::new("headers", Shape::Named(&Shape::Secret), ""),
    Field::new("inner", Shape::Map(&[INNER]), ""),
    Field::new("all", Shape::List(&Shape::Map(&[INNER])), ""),
    Field::new("sinks", Shape::Typed(&[Field::new("otlp", Shape::Map(&[INNER]), "")]), ""),
    Field::new("workers", Shape::Only("1", "there is one worker"), ""),
    Field::new("service", Shape::Refused("there is none here"), ""),
];
const SHAPE: Shape = Shape::Map(&[FIELDS]);

fn outside() -> Outside {
    Outside::env(&[("PASSWORD", "hunter2"), ("COMMAS", "a: [b], #c"), ("EMPTY", "")])
        .file("/secret", "hunter3\n")
        .file("/bytes", [0xff])
}

/// What is wrong with a text, after a check if it can be read.
fn errors(text: &str) -> Vec<String> {
    outside().read(|sources| {
        let errors = Errors::new("f");
        if let Some(node) = parse(text.as_bytes(), sources, &errors) {
            assert_eq!(SHAPE.check(&node, &errors), errors.is_empty(), "{text}");
        }
        errors.into_lines()
    })
}

fn node(text: &str) -> Node {
    outside().read(|sources| {
        let errors = Errors::new("f");
        let node = parse(text.as_bytes(), sources, &errors);
        assert_eq!(errors.into_lines(), Vec::<String>::new(), "{text}");
        node.unwrap()
    })
}

/// Scenario: a file with maps, lists and every kind of scalar.
/// Guarantees: each node has its line, column and path; scalars keep their text, whatever YAML would make of them.
#[test]
fn nodes_know_where_they_stand() {
    let root = node("a: no\nb:\n  c: [0777, '~', \"x\\ty\"]\n  d: |\n    one\n    two\ne: ~\n");
    let at = |node: &Node| (node.line, node.column, node.path.to_string());
    let b = root.get("b").unwrap();
    let list = b.get("c").unwrap();

    assert_eq!(at(root.get("a").unwrap()), (1, 4, "a".to_owned()));
    assert_eq!(root.get("a").unwrap().text(), Ok("no"));
    assert_eq!(at(list), (3, 6, "b.c".to_owned()));
    assert_eq!(list.texts(), Ok(vec!["0777", "~", "x\ty"]));
    assert_eq!(at(&list.elements()[2]), (3, 18, "b.c[2]".to_owned()));
    assert_eq!(b.get("d").unwrap().text(), Ok("one\ntwo\n"));
    assert_eq!(root.entries()[1].line, 2);
    assert!(root.get("e").unwrap().is_null());
    assert_eq!(node("").entries(), []);
    assert_eq!(node("# nothing\n---\n"), Node { value: node("---\n").value, ..node("# nothing\n---\n") });
}

/// Scenario: references in values, whole, embedded, escaped, with defaults; and in keys, where they mean nothing.
/// Guarantees: what a reference brings in is taken as it is, and nothing of it shows.
#[test]
fn references_are_replaced() {
    let table = [
        ("${env:PASSWORD}", "hunter2"),
        ("${PASSWORD}", "hunter2"),
        ("Bearer ${env:PASSWORD}!", "Bearer hunter2!"),
        ("${env:COMMAS}", "a: [b], #c"),
        ("${env:NONE:-x:y}", "x:y"),
        ("${NONE:-d}", "d"),
        ("${env:EMPTY:-d}", "d"),
        ("${env:NONE:-}", ""),
        ("${file:/secret}${env:PASSWORD}", "hunter3hunter2"),
        ("$$ $${env:X} $x 5$", "$ ${env:X} $x 5$"),
    ];
    for (text, want) in table {
        let root = node(&format!("a: '{text}'"));
        assert_eq!(root.get("a").unwrap().text(), Ok(want), "{text}");
        assert!(!format!("{root:?}").contains("hunter"), "{text}");
    }
}

/// Scenario: one text for every rule that this subset of YAML has.
/// Guarantees: the line, the path, and what to do; a secret, or what may be one, is never repeated.
#[test]
fn what_is_wrong_is_told_with_its_line() {
    let table = [
        ("a: [", "f:2: not valid YAML: "),
        ("a: &x 1\nb: *x", "f:2: aliases (`*name`) are not supported; write the value out"),
        ("inner:\n  <<: {on: true}", "f:2: merge keys (`<<`) are not supported; write the settings out"),
        ("count: !!int 1", "f:1: tags (`!name`) are not supported; write a plain value"),
        ("count: 1\ncount: 2", "f:2: the key `count` stands already at line 1; give each key once"),
        ("count: 1\n---\ncount: 2", "f:2: a second document starts here; a configuration is one"),
        ("[a]: 1", "f:1: a key is a single value"),
        ("- a", "f:1: it is a list; valid: a map, `key: value` in lines of their own"),
        ("endpoint:", "f:1: endpoint: it has no value; write one, or take the key out"),
        ("endpoint: {a: b}", "f:1: endpoint: it is a map; valid: a single value"),
        (
            "endpoint: ${env:NONE}",
            "f:1: endpoint: environment variable NONE is not set or empty; set it, or give ${env:NONE:-default}",
        ),
        (
            "endpoint: ${file:/none}",
            "f:1: endpoint: the file of the reference cannot be read: entity not found",
        ),
        ("endpoint: ${file:/bytes}", "f:1: endpoint: the file of the reference is not UTF-8 text"),
        (
            "endpoint: ${yaml:x}",
            "f:1: endpoint: broken reference; write ${env:NAME}, ${env:NAME:-default} or ${file:PATH}, and a literal `$` as `$$`",
        ),
        ("mode: quick", "f:1: mode: `quick` is not valid; valid: fast, slow"),
        ("mode: ${env:PASSWORD}", "f:1: mode: its value is not valid; valid: fast, slow"),
        ("kinds: [a, c]", "f:1: kinds[1]: `c` is not valid; valid: a, b"),
        ("count: -1", "f:1: count: `-1` is not valid; valid: a whole number from 0"),
        ("ratio: inf", "f:1: ratio: `inf` is not valid; valid: a number"),
        ("names: {}", "f:1: names: it is a map; valid: a single value"),
        ("inner: {on: yes}", "f:1: inner.on: `yes` is not valid; valid: true, false"),
        (
            "inner: {size: 1T}",
            "f:1: inner.size: `1T` is not valid; valid: a number of bytes from 1, with K, M or G, such as 512M",
        ),
        (
            "inner: {wait: 5}",
            "f:1: inner.wait: `5` is not valid; valid: a duration of whole milliseconds with units, such as 500ms, 10s or 1m30s",
        ),
        ("all: {}", "f:1: all: it is a map; valid: a list"),
        ("all:\n- on: true\n- onn: true", "f:3: all[1]: unknown key `onn`; did you mean `on`?"),
        ("inner: {colour: red}", "f:1: inner: unknown key `colour`; valid keys: on, size, wait"),
        ("inner: {on hunter2}", "f:1: inner: unknown key; valid keys: on, size, wait"),
        ("headers: {x-key=hunter2}", "f:1: headers: entry 1 has no value; write `name: value`"),
        ("headers: {x key: [hunter2]}", "f:1: headers.***: it is a list; valid: a single value"),
        ("service:\n  pipelines: {}", "f:1: service: there is none here"),
        ("workers: 2", "f:1: workers: there is one worker"),
        ("sinks: {otlpp/a: {}}", "f:1: sinks: unknown name `otlpp`; did you mean `otlp`?"),
        ("sinks: {oltp: }", "f:1: sinks: unknown name; valid names: otlp"),
        ("sinks: {otlp/: }", "f:1: sinks.otlp/: what follows the `/` is letters, digits and `_-./`"),
        ("sinks: {otlp: , otlp/a: {on: 1}}", "f:1: sinks.otlp/a.on: `1` is not valid; valid: true, false"),
        ("endpint: x", "f:1: unknown key `endpint`; did you mean `endpoint`?"),
    ];
    for (text, want) in table {
        let lines = errors(text);
        assert!(lines.len() == 1 && lines[0].starts_with(want), "{text}: {lines:#?}");
        assert!(!lines[0].contains("hunter"), "{text}");
    }
}

/// Scenario: a file with a mistake in every line, and one with more than anyone reads.
/// Guarantees: all are told in the file's order; beyond fifty they are counted.
#[test]
fn all_errors_are_told_at_once() {
    let lines = errors("headers: 1\ncount: x\nendpoint: ${env:NONE}\nbogus: 1\ninner: {on: 1, size: 0}\n");
    let starts =
        ["f:1: headers", "f:2: count", "f:3: endpoint", "f:4: unknown", "f:5: inner.on", "f:5: inner.size"];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }

    let many = (0..60).map(|number| format!("x{number}: 1")).collect::<Vec<_>>().join("\n");
    let lines = errors(&many);
    assert_eq!((lines.len(), lines.last().map(String::as_str)), (51, Some("f: and 10 more")));
}

/// Scenario: files that no configuration needs.
/// Guarantees: they are refused before they take much memory.
#[test]
fn size_depth_and_number_are_limited() {
    let huge = " ".repeat(MAX_BYTES + 1);
    assert_eq!(errors(&huge), ["f: larger than 1048576 bytes, which no configuration needs"]);
    let deep = format!("endpoint: {}", "[".repeat(100));
    assert_eq!(errors(&deep), ["f:1: more than 16 maps and lists within each other"]);
    let wide = format!("names: [{}]", "1,".repeat(100_000));
    assert_eq!(errors(&wide), ["f:1: more than 20000 values"]);
    assert_eq!(errors("names: [\u{0}\u{7}]").len(), 1);
}

proptest! {
    #[test]
    fn any_text_is_safe_and_errors_are_one_line(
        text in "((endpoint|count|headers|inner|all|on|x|'|\"|-|\\||&a|\\*a|!t|<<|\\$\\{env:|\\}|:|,|\\{|\\[|\\]| |\n|  |.){0,3}){0,20}"
    ) {
        for line in errors(&text) {
            prop_assert_eq!(line.lines().count(), 1);
        }
    }

    /// Whatever stands around it, what a reference brings in is in no error.
    #[test]
    fn no_error_repeats_what_a_reference_brings_in(
        key in "endpoint|password|mode|count|ratio|kinds|headers|inner|all|service|x",
        before in "[a-z\\[{: -]{0,4}",
        after in "[a-z\\]}: -]{0,4}",
    ) {
        for line in errors(&format!("{key}: {before}${{env:PASSWORD}}{after}\n")) {
            prop_assert!(!line.contains("hunter2"), "{}", line);
        }
    }

    #[test]
    fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        outside().read(|sources| {
            let errors = Errors::new("f");
            let node = parse(&bytes, sources, &errors);
            assert!(node.is_some() || !errors.is_empty());
        });
    }
}
