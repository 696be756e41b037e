//! Names of attributes as New Relic takes them.

use std::borrow::Cow;

/// Longest name, in characters.
const MAX_NAME: usize = 255;

/// Words with a meaning of their own: in every event, to the API, and in NRQL, where they would have to be quoted.
const RESERVED: [&str; 52] = [
    "accountId",
    "ago",
    "and",
    "appId",
    "as",
    "auto",
    "begin",
    "begintime",
    "compare",
    "day",
    "days",
    "end",
    "endtime",
    "event.name",
    "eventType",
    "explain",
    "facet",
    "from",
    "hour",
    "hours",
    "in",
    "is",
    "like",
    "limit",
    "minute",
    "minutes",
    "month",
    "months",
    "not",
    "null",
    "offset",
    "or",
    "raw",
    "second",
    "seconds",
    "select",
    "since",
    "timeseries",
    "timestamp",
    "until",
    "week",
    "weeks",
    "where",
    "with",
    "log",
    "hostname",
    "plugin.type",
    "fb.input",
    "entity.guid",
    "entity.name",
    "entity.type",
    "entity",
];

/// The name for an attribute of a Resource: letters, digits, `:`, `.` and `_`, everything else as `_`; a reserved word
/// gets the prefix `resource.`. `None` when there is nothing to call it by.
pub(super) fn legal(name: &str) -> Option<Cow<'_, str>> {
    if name.is_empty() {
        return None;
    }
    let is_reserved =
        name.starts_with("entity.") || RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name));
    let is_legal = name.len() <= MAX_NAME && name.chars().all(fits);
    if is_legal && !is_reserved {
        return Some(Cow::Borrowed(name));
    }
    let prefix = if is_reserved { "resource." } else { "" };
    let fitted = name.chars().map(|character| if fits(character) { character } else { '_' });
    Some(prefix.chars().chain(fitted).take(MAX_NAME).collect())
}

const fn fits(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, ':' | '.' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: names as they are, with characters that are not taken, reserved, too long and empty.
    /// Guarantees: each becomes a legal one that is as close as can be.
    #[test]
    fn names_become_legal() {
        let long = "n".repeat(300);
        let table = [
            ("process.pid", Some("process.pid")),
            ("k8s.pod.label.app.kubernetes.io/name", Some("k8s.pod.label.app.kubernetes.io_name")),
            ("gr\u{f6}\u{df}e x-y", Some("gr__e_x_y")),
            ("appId", Some("resource.appId")),
            ("Timestamp", Some("resource.Timestamp")),
            ("day", Some("resource.day")),
            ("entity.guid", Some("resource.entity.guid")),
            ("days.open", Some("days.open")),
            ("", None),
            (long.as_str(), Some(&long[..255])),
        ];
        for (name, want) in table {
            assert_eq!(legal(name).as_deref(), want, "{name}");
        }
    }

    proptest! {
        /// Scenario: any name.
        /// Guarantees: 1 to 255 characters of those that are taken, no reserved word, and the same for what is legal already.
        #[test]
        fn any_name_becomes_legal(name in ".{1,300}") {
            let once = legal(&name).unwrap();
            prop_assert!((1..=255).contains(&once.len()) && once.chars().all(fits));
            prop_assert!(!RESERVED.contains(&once.as_ref()));
            prop_assert_eq!(legal(&once), Some(Cow::Borrowed(once.as_ref())));
        }
    }
}
