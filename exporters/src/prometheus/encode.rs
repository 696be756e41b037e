//! Series as the messages of remote write.

use prost::Message as _;
use rustc_hash::FxHashMap;

use super::line::Line;
use super::names::unit_name;
use super::native;
use super::wire::{v1, v2};
use crate::model::{Descriptor, Instrument};

/// The bytes of a 1.0 request, not compressed. Native histograms, which it has none of, are classic ones there.
pub(super) fn encode_v1(lines: &[Line]) -> Vec<u8> {
    let mut timeseries = Vec::with_capacity(lines.len());
    for line in lines {
        line.classic(&mut |line| timeseries.push(v1_series(line)));
    }
    v1::WriteRequest { timeseries }.encode_to_vec()
}

fn v1_series(line: &Line) -> v1::TimeSeries {
    let label = |(name, value): (&str, _)| v1::Label { name: name.to_owned(), value: String::from(value) };
    let samples = line.samples().iter();
    v1::TimeSeries {
        labels: line.labels().map(label).collect(),
        samples: samples.map(|sample| v1::Sample { value: sample.value, timestamp: sample.at }).collect(),
    }
}

/// The bytes of a 2.0 request, not compressed.
pub(super) fn encode_v2(lines: &[Line]) -> Vec<u8> {
    let mut symbols = Symbols::new();
    let timeseries = lines.iter().map(|line| symbols.series(line)).collect();
    v2::Request { symbols: symbols.table, timeseries }.encode_to_vec()
}

/// Every string of a request once.
struct Symbols {
    table: Vec<String>,
    index: FxHashMap<String, u32>,
    metadata: FxHashMap<&'static str, v2::Metadata>,
}

impl Symbols {
    fn new() -> Self {
        let mut symbols =
            Self { table: Vec::new(), index: FxHashMap::default(), metadata: FxHashMap::default() };
        // The first stands for what is absent.
        symbols.of("");
        symbols
    }

    fn of(&mut self, text: &str) -> u32 {
        if let Some(index) = self.index.get(text) {
            return *index;
        }
        let index = u32::try_from(self.table.len()).unwrap_or(0);
        self.table.push(text.to_owned());
        self.index.insert(text.to_owned(), index);
        index
    }

    fn series(&mut self, line: &Line) -> v2::TimeSeries {
        let mut labels_refs = Vec::with_capacity(40);
        for (name, value) in line.labels() {
            labels_refs.extend([self.of(name), self.of(&value)]);
        }
        let metadata = Some(self.metadata(line.descriptor));
        let samples = line.samples().iter().map(|sample| v2::Sample {
            value: sample.value,
            timestamp: sample.at,
            start_timestamp: sample.start,
        });
        let samples = samples.collect();
        let histograms = line.histograms().iter().map(native::histogram).collect();
        v2::TimeSeries { labels_refs, samples, histograms, metadata }
    }

    fn metadata(&mut self, descriptor: &'static Descriptor) -> v2::Metadata {
        if let Some(metadata) = self.metadata.get(descriptor.name) {
            return *metadata;
        }
        let kind = match descriptor.instrument {
            Instrument::Counter => v2::Kind::Counter,
            Instrument::UpDownCounter => v2::Kind::Gauge,
            Instrument::Histogram { .. } => v2::Kind::Histogram,
        };
        let metadata = v2::Metadata {
            kind: kind.into(),
            help_ref: self.of(descriptor.description),
            unit_ref: self.of(&unit_name(descriptor)),
        };
        self.metadata.insert(descriptor.name, metadata);
        metadata
    }
}
