//! A valid set of labels: sorted by name, each name once, nothing empty.

use std::borrow::Cow;
use std::fmt;

use crate::model::Value;

use super::names::label_name;

/// The label that holds a metric's name.
pub(super) const NAME: &str = "__name__";
/// The upper bound of a histogram's bucket.
pub(super) const BOUND: &str = "le";

/// Labels of a series, in one allocation for their text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Labels {
    text: Box<str>,
    /// Where names and values end in `text`, in turns.
    ends: Box<[u32]>,
}

/// A label on its way into a set.
pub(super) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl Labels {
    /// Sorts; of equal names the first stays; what is empty is left out.
    pub(super) fn new(mut pairs: Vec<Pair<'_>>) -> Self {
        pairs.retain(|(name, value)| !name.is_empty() && !value.is_empty());
        pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
        pairs.dedup_by(|(later, _), (earlier, _)| later == earlier);
        let length = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut text = String::with_capacity(length);
        let mut ends = Vec::with_capacity(pairs.len() * 2);
        for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
            text.push_str(part);
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self { text: text.into(), ends: ends.into() }
    }

    /// Name and value of each, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut from = 0;
        let mut part = move |end: u32| {
            let part = self.text.get(from..end as usize).unwrap_or_default();
            from = end as usize;
            part
        };
        self.ends.chunks_exact(2).map(move |ends| (part(ends[0]), part(ends[1])))
    }

    /// The value under a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Attributes, in the order of their keys, as labels. Keys that become one name are joined with `;` in that order.
pub(super) fn from_attributes<'a>(attributes: impl Iterator<Item = (&'a str, Value<'a>)>) -> Vec<Pair<'a>> {
    let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(12);
    for (key, value) in attributes {
        let name = label_name(key);
        let value = match value {
            Value::Str(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        };
        match pairs.iter_mut().find(|(other, _)| *other == name) {
            Some((_, joined)) => *joined = format!("{joined};{value}").into(),
            None => pairs.push((name.into(), value)),
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(labels: &Labels) -> Vec<(&str, &str)> {
        labels.iter().collect()
    }

    /// Scenario: labels out of order, twice, empty.
    /// Guarantees: sorted by bytes, the first of a name, nothing empty; a capital letter comes before `_`.
    #[test]
    fn a_set_is_valid() {
        let given = [("b", "1"), ("__name__", "x"), ("A", "2"), ("b", "3"), ("c", ""), ("", "4")];
        let labels = Labels::new(given.map(|(name, value)| (name.into(), value.into())).into());
        assert_eq!(pairs(&labels), [("A", "2"), ("__name__", "x"), ("b", "1")]);
        assert_eq!((labels.get("b"), labels.get("c")), (Some("1"), None));
    }

    /// Scenario: keys that differ only in what is replaced, and values of each type.
    /// Guarantees: joined in the order of keys; everything is text.
    #[test]
    fn colliding_attributes_are_joined() {
        let list = ["x".to_owned(), "y".to_owned()];
        let attributes = [
            ("a-b", Value::Str("1")),
            ("a.b", Value::Int(2)),
            ("a_b", Value::Bool(true)),
            ("list", Value::List(&list)),
        ];
        let labels = Labels::new(from_attributes(attributes.into_iter()));
        assert_eq!(pairs(&labels), [("a_b", "1;2;true"), ("list", "x,y")]);
    }

    proptest! {
        /// Scenario: any attributes.
        /// Guarantees: strictly ascending names, none and no value empty, and text survives.
        #[test]
        fn any_attributes_give_a_valid_set(attributes in proptest::collection::btree_map(".{0,6}", ".{0,6}", 0..9)) {
            let given = attributes.iter().map(|(key, value)| (key.as_str(), Value::Str(value)));
            let labels = Labels::new(from_attributes(given));
            let pairs = pairs(&labels);
            prop_assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0), "{:?}", pairs);
            prop_assert!(pairs.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
            for (key, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
                let name = label_name(key);
                prop_assert!(name.is_empty() || labels.get(&name).unwrap().contains(value.as_str()));
            }
        }
    }
}
