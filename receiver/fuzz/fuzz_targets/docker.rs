//! Any text as the JSON of Docker: a version, a list of containers and an inspection, a line each.
//! From `receiver/`: `cargo +nightly fuzz run docker`.
#![no_main]

use bollard::models::{ContainerInspectResponse, ContainerSummary, EventMessage, SystemVersion};
use convis::container::doors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for lines in [text.splitn(3, '\n').collect::<Vec<_>>(), vec![text; 3]] {
        let line = |at: usize| lines.get(at).copied().unwrap_or_default();
        let version: SystemVersion = serde_json::from_str(line(0)).unwrap_or_default();
        let list: Vec<ContainerSummary> = serde_json::from_str(line(1)).unwrap_or_default();
        let inspected: ContainerInspectResponse = serde_json::from_str(line(2)).unwrap_or_default();
        let _event: Option<EventMessage> = serde_json::from_str(line(2)).ok();
        let (listed, inspected) = doors::docker(version, list, inspected, &["a".to_owned()]);
        assert!(listed.iter().all(|(id, _)| id.is_full()));
        for details in listed.iter().map(|(_, details)| &**details).chain([&inspected]) {
            let names = [&details.name, &details.image_name, &details.image_id];
            assert!(names.into_iter().flatten().all(|name| (1..=1024).contains(&name.len())));
            assert!(!details.runtime.name.is_empty());
        }
    }
});
