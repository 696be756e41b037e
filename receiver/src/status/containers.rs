//! What naming containers and peers takes.

use super::{Containers, Family, Kind, Sample, single};
use crate::{container, nat};

pub(super) fn families(of: &Containers) -> Vec<Family> {
    let (asked, translated) = (&of.asked, &of.translated);
    vec![
        single(
            "convis.workloads",
            "{workload}",
            Kind::Gauge,
            "Containers, pods and services known.",
            of.workloads as u64,
        ),
        single(
            "convis.containers",
            "{container}",
            Kind::Gauge,
            "Containers whose names are known.",
            asked.known,
        ),
        single(
            "convis.events.waiting",
            "{event}",
            Kind::Gauge,
            "Waiting for names, or for the record of the other end.",
            of.waiting as u64,
        ),
        single(
            "convis.events.unnamed",
            "{event}",
            Kind::Counter,
            "Went out with the id of their container, but without its names.",
            of.unnamed,
        ),
        single(
            "convis.container.runtimes",
            "{runtime}",
            Kind::Gauge,
            "Container runtimes that can be asked now.",
            asked.connected,
        ),
        single(
            "convis.container.lookups",
            "{lookup}",
            Kind::Counter,
            "Containers that runtimes were asked for.",
            asked.lookups,
        ),
        single(
            "convis.container.requests",
            "{request}",
            Kind::Counter,
            "Requests to container runtimes.",
            asked.requests,
        ),
        single(
            "convis.container.request.duration",
            "ms",
            Kind::Counter,
            "Time that these requests took.",
            u64::try_from(asked.request_time.as_millis()).unwrap_or(u64::MAX),
        ),
        failures(
            "convis.container.failures",
            "Requests to container runtimes that failed.",
            container::Failure::ALL.map(|failure| (failure.as_str(), asked.failed(failure))).as_slice(),
        ),
        by_outcome(translated),
        failures(
            "convis.nat.failures",
            "Requests to the kernel's connection tracking that failed.",
            nat::Failure::ALL.map(|failure| (failure.as_str(), translated.failed(failure))).as_slice(),
        ),
    ]
}

fn by_outcome(of: &nat::Counted) -> Family {
    let outcomes = [
        ("translated", of.translated),
        ("plain", of.plain),
        ("untracked", of.untracked),
        ("skipped_idle", of.skipped_idle),
        ("skipped_plain", of.skipped_plain),
        ("skipped_budget", of.skipped_budget),
    ];
    Family {
        name: "convis.nat.lookups",
        unit: "{connection}",
        kind: Kind::Counter,
        description: "Connections whose address translation was of interest, by outcome.",
        samples: samples("outcome", &outcomes),
    }
}

fn failures(name: &'static str, description: &'static str, counted: &[(&str, u64)]) -> Family {
    Family {
        name,
        unit: "{request}",
        kind: Kind::Counter,
        description,
        samples: samples("error.type", counted),
    }
}

fn samples(label: &'static str, values: &[(&str, u64)]) -> Vec<Sample> {
    let sample = |&(name, value): &(&str, u64)| Sample { labels: vec![(label, name.to_owned())], value };
    values.iter().map(sample).collect()
}
