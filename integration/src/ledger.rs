//! The loss accounting that convis shows on `/metrics`.

use std::collections::BTreeMap;

/// The samples of one reading of `/metrics`.
#[derive(Clone, Debug)]
pub struct Ledger(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// The figures of the kernel ledger for one kind of record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    /// What the kernel programs saw.
    pub seen: f64,
    /// What user space took.
    pub delivered: f64,
    /// What still waits in the kernel.
    pub pending: f64,
    /// What neither ring nor map could hold.
    pub dropped: f64,
}

/// The figures of one sink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sink {
    /// Records given to the sink.
    pub accepted: f64,
    /// Records its receiver has acknowledged.
    pub sent: f64,
    /// Records that wait.
    pub queued: f64,
    /// Records given up, for whatever reason.
    pub dropped: f64,
}

impl Ledger {
    /// Reads the Prometheus text format; panics on a line that is none.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(|line| sample(line).unwrap_or_else(|| panic!("no sample: {line}"))).collect())
    }

    /// The sum over all samples of a name that carry these labels; `None` if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Sample| {
            let has = |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|has| has == value);
            sample.name == name && labels.iter().all(has)
        };
        let found: Vec<f64> = self.0.iter().filter(fits).map(|sample| sample.value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// All that was dropped anywhere.
    pub fn dropped(&self) -> f64 {
        self.sum("convis_events_dropped_total", &[]).unwrap_or_default()
    }

    /// The kernel's side for `opened`, `closed`, `failed`, ...
    pub fn kind(&self, kind: &str) -> Kind {
        let labels = [("kind", kind)];
        let must = |name: &str| {
            self.sum(name, &labels)
                .unwrap_or_else(|| panic!("/metrics has no {name}{{kind={kind:?}}}: {self:#?}"))
        };
        let lost = [("kind", kind), ("stage", "kernel")];
        Kind {
            seen: must("convis_events_seen_total"),
            delivered: must("convis_events_delivered_total"),
            pending: must("convis_events_pending"),
            dropped: self.sum("convis_events_dropped_total", &lost).unwrap_or_default(),
        }
    }

    /// A sink's side.
    pub fn sink(&self, sink: &str) -> Sink {
        self.account(&[("sink", sink)], &[("stage", sink)])
    }

    /// A sink's side, of its events alone.
    pub fn events_of(&self, sink: &str) -> Sink {
        self.account(&[("sink", sink), ("signal", "events")], &[("stage", sink), ("kind", "event")])
    }

    fn account(&self, labels: &[(&str, &str)], of_dropped: &[(&str, &str)]) -> Sink {
        let must = |name: &str| {
            self.sum(name, labels)
                .unwrap_or_else(|| panic!("/metrics has no {name}{{{labels:?}}}: {self:#?}"))
        };
        Sink {
            accepted: must("convis_sink_records_accepted_total"),
            sent: must("convis_sink_records_sent_total"),
            queued: must("convis_sink_records_queued"),
            dropped: self.sum("convis_events_dropped_total", of_dropped).unwrap_or_default(),
        }
    }
}

impl Kind {
    /// Whether everything seen is accounted for.
    pub fn balances(&self) -> bool {
        same(self.seen, self.delivered + self.pending + self.dropped)
    }
}

impl Sink {
    /// Whether everything accepted is accounted for.
    pub fn balances(&self) -> bool {
        same(self.accepted, self.sent + self.queued + self.dropped)
    }
}

/// Counts below 2^53 are exact as floating point numbers.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.5
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    Some(Sample {
        name: name.to_owned(),
        labels: parse_labels(labels.strip_suffix('}')?)?,
        value: value.parse().ok()?,
    })
}

/// None of the labels that are looked at holds a quote or a comma.
fn parse_labels(text: &str) -> Option<BTreeMap<String, String>> {
    let pairs = text.split("\",").filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (key, value) = pair.split_once("=\"")?;
        Some((key.to_owned(), value.trim_end_matches('"').to_owned()))
    };
    pairs.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::Ledger;

    /// Scenario: comments, labels in any order, several samples of one name.
    /// Guarantees: the figures that judge convis are read right.
    #[test]
    fn reads_the_text_format() {
        let ledger = Ledger::parse(concat!(
            "# HELP convis_events_seen_total x\n",
            "convis_events_seen_total{kind=\"opened\"} 5\n",
            "convis_events_delivered_total{kind=\"opened\"} 3\n",
            "convis_events_pending{kind=\"opened\"} 1\n",
            "convis_events_dropped_total{reason=\"ring_full\",stage=\"kernel\",kind=\"opened\"} 1\n",
            "convis_events_dropped_total{stage=\"otlp\",reason=\"expired\",kind=\"opened\"} 7\n",
            "up 1\n",
        ));
        assert!(ledger.kind("opened").balances());
        assert!((ledger.dropped() - 8.0).abs() < f64::EPSILON);
        assert_eq!(ledger.sum("up", &[]), Some(1.0));
        assert_eq!(ledger.sum("down", &[]), None);
    }
}
