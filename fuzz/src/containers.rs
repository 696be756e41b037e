//! What container runtimes answer.

use bollard::models::{ContainerInspectResponse, ContainerSummary, EventMessage, SystemVersion};
use convis::container::{Details, Reference, doors};

use super::text;

/// The messages of a CRI runtime, one after another with their lengths before them.
pub fn cri(bytes: &[u8]) {
    let mut rest = bytes;
    let messages = [(); 4].map(|()| {
        let (length, after) =
            rest.split_first().map_or((0, rest), |(length, after)| (usize::from(*length), after));
        let (message, after) = after.split_at(length.min(after.len()));
        rest = after;
        message
    });
    // One message for all as well: the lists have much in common.
    for messages in [messages, [bytes; 4]] {
        for (id, details) in doors::cri(messages, &["a".to_owned()]) {
            assert!(id.is_full());
            assert_named(&details);
            assert!(details.image_name.is_some() || details.image_tags.is_empty());
        }
    }
}

/// The JSON of Docker: a version, a list of containers and an inspection, a line each.
pub fn docker(bytes: &[u8]) {
    let text = text(bytes);
    for lines in [text.splitn(3, '\n').collect::<Vec<_>>(), vec![text; 3]] {
        let line = |at: usize| lines.get(at).copied().unwrap_or_default();
        let version: SystemVersion = serde_json::from_str(line(0)).unwrap_or_default();
        let list: Vec<ContainerSummary> = serde_json::from_str(line(1)).unwrap_or_default();
        let inspected: ContainerInspectResponse = serde_json::from_str(line(2)).unwrap_or_default();
        let _event: Option<EventMessage> = serde_json::from_str(line(2)).ok();
        let (listed, inspected) = doors::docker(version, list, inspected, &["a".to_owned()]);
        assert!(listed.iter().all(|(id, _)| id.is_full()));
        for details in listed.iter().map(|(_, details)| &**details).chain([&inspected]) {
            assert_named(details);
            assert!(!details.runtime.name.is_empty());
        }
    }
}

fn assert_named(details: &Details) {
    let names = [&details.name, &details.image_name, &details.image_id];
    assert!(names.into_iter().flatten().all(|name| (1..=1024).contains(&name.len())));
}

/// The reference of an image: what is taken apart is what was there.
pub fn image(bytes: &[u8]) {
    let text = text(bytes);
    let _beside = Reference::parse_beside(text, Some(text));
    let Some(Reference { name, tag, digest }) = Reference::parse(text) else { return };
    let last = name.rsplit('/').next().unwrap_or_default();
    assert!(!last.is_empty() && !last.contains(':') && !name.contains('@'), "{name}");
    let written = |mark: &str, part: &Option<String>| {
        part.as_ref().map(|part| format!("{mark}{part}")).unwrap_or_default()
    };
    let again = name + &written(":", &tag) + &written("@", &digest);
    // But for marks with nothing behind them.
    if !text.contains(":@") && !text.trim().ends_with([':', '@']) {
        assert_eq!(again, text.trim());
    }
}
