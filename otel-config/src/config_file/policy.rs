//! `networks:`, `filters:`, `expect:` and `sampling:`.

use crate::policy::{Draft, Rule, Settings, parse_blocks};
use crate::yaml::{Errors, Field, Node, Scalar, Shape, Value};

/// The sections.
pub(super) const NETWORKS: Field = Field::new(
    "networks",
    Shape::Named(&Shape::Texts),
    "What networks are called in convis.peer.network: blocks of addresses by name. The longest prefix counts.",
);
/// See [`NETWORKS`].
pub(super) const FILTERS: Field =
    Field::new("filters", Shape::Map(&[FILTER_KEYS]), "Which connections are told and counted.");
/// See [`NETWORKS`].
pub(super) const EXPECT: Field = Field::new(
    "expect",
    Shape::OneOrMore(&RULE),
    "What is expected of processes; any other connection of theirs is told as unexpected.",
);
/// See [`NETWORKS`].
pub(super) const SAMPLING: Field = Field::new(
    "sampling",
    Shape::OneOrMore(&Shape::Map(&[SAMPLING_KEYS])),
    "Connections of which only a part is told; the first that matches counts. Metrics count everything.",
);

const FILTER_KEYS: &[Field] = &[
    Field::new("loopback", Shape::Boolean, "Whether peers on loopback addresses are told; true by default."),
    Field::new("include", Shape::OneOrMore(&RULE), "Only what one of these matches is told."),
    Field::new("exclude", Shape::OneOrMore(&RULE), "What one of these matches is not told."),
];

const SAMPLING_KEYS: &[Field] = &[
    Field::new("match", RULE, "Which connections; all by default."),
    Field::new("keep", Shape::Text, "One of how many is told, such as 1 in 100."),
    Field::new(
        "per",
        Shape::Words(&["executable", "container", "namespace", "role", "network", "port"]),
        "What connections have in common that are counted together; executable, container and port by default.",
    ),
    Field::new("also", Shape::Words(&["failed", "unexpected"]), "What is sampled although it would be told."),
];

/// Conditions that must all hold.
const RULE: Shape = Shape::Map(&[RULE_KEYS]);

const RULE_KEYS: &[Field] = &[
    Field::new(
        "executable",
        Shape::Texts,
        "Base name or full path of the executable; * stands for any text.",
    ),
    Field::new("container", Shape::Texts, "Name or id of the container; * stands for any text."),
    Field::new("namespace", Shape::Texts, "Namespace of the pod; * stands for any text."),
    Field::new("role", Shape::Word(&["client", "server"]), "The end that the process holds."),
    Field::new("network", Shape::Texts, "What the peer's network is called."),
    Field::new("networks", Shape::Texts, "As network."),
    Field::new("cidr", Shape::Texts, "The peer's address."),
    Field::new("cidrs", Shape::Texts, "As cidr."),
    Field::new("local_cidr", Shape::Texts, "This end's address."),
    Field::new("local_cidrs", Shape::Texts, "As local_cidr."),
    Field::new("port", Shape::Texts, "The server's port, or a range such as 8000-8999."),
    Field::new("ports", Shape::Texts, "As port."),
];

/// Reads the sections, of which those that do not fit their shapes are left out: that is an error already.
pub(super) fn read(root: &Node, errors: &Errors) -> Settings {
    let section = |field: &Field| {
        let fits = |node: &&Node| field.shape.check(node, &Errors::new(""));
        root.get(field.name).filter(fits)
    };
    let mut settings = Settings::default();
    for entry in section(&NETWORKS).iter().flat_map(|node| node.entries()) {
        let blocks = entry.node.texts().and_then(|texts| parse_blocks(&entry.key, &texts));
        settings.networks.extend(noted(&entry.node, blocks, errors).into_iter().flatten());
    }
    if let Some(filters) = section(&FILTERS) {
        settings.filters.loopback = filters.get("loopback").is_none_or(|node| node.boolean() != Ok(false));
        settings.filters.include = rules(filters.get("include"), Rule::checked, errors);
        settings.filters.exclude = rules(filters.get("exclude"), Rule::checked, errors);
    }
    settings.expectations.0 = rules(section(&EXPECT), Rule::checked_expectation, errors);
    settings.sampling.0 = section(&SAMPLING)
        .into_iter()
        .flat_map(one_or_more)
        .filter_map(|node| {
            let draft = sampling(node, errors)?;
            noted(node, draft.finish(), errors)
        })
        .collect();
    settings
}

fn rules(node: Option<&Node>, check: fn(Rule) -> Result<Rule, String>, errors: &Errors) -> Vec<Rule> {
    let rule = |node| {
        let mut rule = Rule::default();
        let is_fine = set_all(node, errors, |key, values| rule.set(key, values));
        is_fine.then(|| noted(node, check(rule), errors))?
    };
    node.into_iter().flat_map(one_or_more).filter_map(rule).collect()
}

fn sampling(node: &Node, errors: &Errors) -> Option<Draft> {
    let mut draft = Draft::default();
    let mut is_fine = true;
    for entry in node.entries() {
        is_fine &= match entry.key.as_str() {
            "match" => set_all(&entry.node, errors, |key, values| draft.set(key, values)),
            key => set(key, &entry.node, errors, |key, values| draft.set(key, values)),
        };
    }
    is_fine.then_some(draft)
}

/// Sets every key of a map; whether all could be.
fn set_all(map: &Node, errors: &Errors, mut to: impl FnMut(&str, &[&str]) -> Result<(), String>) -> bool {
    // Each mistake is told.
    map.entries().iter().filter(|entry| !set(&entry.key, &entry.node, errors, &mut to)).count() == 0
}

fn set(
    key: &str,
    node: &Node,
    errors: &Errors,
    mut to: impl FnMut(&str, &[&str]) -> Result<(), String>,
) -> bool {
    let done = node.texts().and_then(|texts| to(key, &texts));
    noted(node, done, errors).is_some()
}

/// What came from a reference is not repeated.
fn noted<T>(node: &Node, result: Result<T, String>, errors: &Errors) -> Option<T> {
    let is_referenced =
        |node: &Node| matches!(&node.value, Value::Scalar(Scalar { is_referenced: true, .. }));
    let hides = is_referenced(node) || node.elements().iter().any(is_referenced);
    let told = result
        .map_err(|why| if hides { "what its reference stands for is not valid".to_owned() } else { why });
    errors.ok(node, told)
}

/// The elements of a list, or the only one.
fn one_or_more(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(elements) => elements,
        _ => std::slice::from_ref(node),
    }
}

#[cfg(test)]
mod tests;
