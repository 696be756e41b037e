//! Attributes of a Resource as every event of it has them.

use std::ops::Range;

use super::encode::{MAX_ATTRIBUTES, is_sayable, value};
use super::name;
use crate::model::{Event, Resource};

/// The attributes of a Resource, encoded.
pub(super) struct Members {
    /// All of them, each with the comma before it.
    text: Vec<u8>,
    each: Vec<Member>,
    /// Whether one may have the name that an attribute of an event has.
    is_contested: bool,
}

struct Member {
    name: String,
    /// Where it is in the text.
    place: Range<usize>,
}

impl Members {
    /// Each legal name once: the first stays.
    pub(super) fn of(resource: &Resource) -> Self {
        let attributes = resource.attributes();
        let mut members =
            Self { text: Vec::new(), each: Vec::with_capacity(attributes.len()), is_contested: false };
        for (key, attribute) in attributes {
            let Some(name) = name::legal(key).filter(|_| is_sayable(attribute)) else {
                continue;
            };
            if members.each.iter().any(|member| member.name == name) {
                continue;
            }
            let start = members.text.len();
            // Nothing in a legal name has to be escaped.
            members.text.extend_from_slice(b",\"");
            members.text.extend_from_slice(name.as_bytes());
            members.text.extend_from_slice(b"\":");
            value(attribute, &mut members.text);
            members.is_contested |= Event::may_have(&name);
            members.each.push(Member { name: name.into_owned(), place: start..members.text.len() });
        }
        members
    }

    /// Writes those that are no attribute of the event itself, which has so many already; returns how many were too much.
    pub(super) fn write(&self, event: &Event, attributes: usize, json: &mut Vec<u8>) -> usize {
        if !self.is_contested && attributes + self.each.len() <= MAX_ATTRIBUTES {
            json.extend_from_slice(&self.text);
            return 0;
        }
        let mut of_event = Vec::with_capacity(attributes);
        event.visit(|name, _| of_event.push(name));
        let mut left = self.each.iter().filter(|member| !of_event.contains(&member.name.as_str()));
        for member in left.by_ref().take(MAX_ATTRIBUTES.saturating_sub(attributes)) {
            json.extend_from_slice(&self.text[member.place.clone()]);
        }
        left.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::samples;

    /// Scenario: events of all kinds, of which none has an attribute that its Resource has too.
    /// Guarantees: the Resource as a whole is what its attributes one by one are.
    #[test]
    fn the_whole_equals_its_parts() {
        for event in &samples::events().events {
            let mut members = Members::of(&event.resource);
            assert!(!members.is_contested);
            let [mut whole, mut parts] = [Vec::new(), Vec::new()];
            assert_eq!(members.write(event, 40, &mut whole), 0);
            members.is_contested = true;
            assert_eq!(members.write(event, 40, &mut parts), 0);
            assert!(!whole.is_empty() && whole == parts);
        }
    }
}
