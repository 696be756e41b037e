//! Events that policy leaves out.

use convis_exporters::model::EventName;

use super::{Family, Kind, Sample};
use crate::track::LeftOut;

pub(super) fn families(of: &LeftOut) -> [Family; 2] {
    [
        by_kind("convis.events.filtered", "Taken by user space, and left out by a filter.", &of.filtered),
        by_kind(
            "convis.events.sampled",
            "Left out by sampling: those that were kept stand for them.",
            &of.sampled,
        ),
    ]
}

fn by_kind(name: &'static str, description: &'static str, counted: &[u64; EventName::ALL.len()]) -> Family {
    let samples = EventName::ALL
        .into_iter()
        .zip(counted)
        .map(|(event, value)| Sample { labels: vec![("kind", event.short().to_owned())], value: *value });
    Family { name, unit: "{event}", kind: Kind::Counter, description, samples: samples.collect() }
}
