//! The series of one Resource.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use convis_exporters::model::metric::AttributeSet;
use convis_exporters::model::{
    self, Histogram, Metric, MetricResource, OwnedValue, Point, PointValue, Resource, Role,
};
use rustc_hash::FxHashSet;

use super::facet::{Dimensions, Facet, Rows, SeriesId};
use super::instruments::{Extra, Instrument};

/// Distinct remote ports of a Resource's clients that are kept as `server.port`.
const REMOTE_PORTS: usize = 100;

/// Shared by the aggregator and every process of the Resource: once only the aggregator holds it, the processes are gone.
pub type GroupHandle = Rc<RefCell<Group>>;

#[derive(Debug)]
struct Series {
    instrument: Instrument,
    attributes: Arc<AttributeSet>,
    start_unix_nanos: u64,
    value: PointValue,
}

/// The series of one Resource.
#[derive(Debug)]
pub struct Group {
    resource: Arc<Resource>,
    /// Start of series that begin now: the last time everything was read.
    since_unix_nanos: u64,
    cardinality: usize,
    rows: Rows,
    /// Where there was no room for another series.
    overflows: [Option<SeriesId>; Instrument::COUNT],
    series: Vec<Series>,
    sets: [usize; Instrument::COUNT],
    remote_ports: FxHashSet<u16>,
    changed: bool,
    idle_since_unix_nanos: u64,
    overflowed: u64,
    overflow_only: bool,
    /// Histograms have exponential buckets too.
    exponential: bool,
    /// Its Resource has changed: another group goes on.
    retired: bool,
}

impl Group {
    /// A group without series, whose first ones start at `since_unix_nanos`. Each instrument has at most `cardinality`
    /// attribute sets; what is beyond goes to one set that says so.
    pub fn new(resource: Arc<Resource>, since_unix_nanos: u64, cardinality: usize) -> Self {
        Self {
            resource,
            since_unix_nanos,
            cardinality,
            rows: Rows::default(),
            overflows: [None; Instrument::COUNT],
            series: Vec::new(),
            sets: [0; Instrument::COUNT],
            remote_ports: FxHashSet::default(),
            changed: true,
            idle_since_unix_nanos: since_unix_nanos,
            overflowed: 0,
            overflow_only: false,
            exponential: false,
            retired: false,
        }
    }

    /// Nothing more will be added: the Resource is known better now, and another group has the new one.
    pub fn retire(&mut self) {
        self.retired = true;
    }

    /// Whether another group goes on.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// A group that has only sets that say they are an overflow.
    #[must_use]
    pub fn overflow_only(mut self) -> Self {
        self.overflow_only = true;
        self
    }

    /// A group whose histograms have exponential buckets too, if `exponential`.
    #[must_use]
    pub fn with_exponential(mut self, exponential: bool) -> Self {
        self.exponential = exponential;
        self
    }

    /// Histograms have exponential buckets too from the last collection on: those that had none end there, with the values
    /// that were collected, and begin again.
    pub fn begin_exponential(&mut self) {
        self.exponential = true;
        for series in &mut self.series {
            let model::Instrument::Histogram { bounds } = series.instrument.descriptor().instrument else {
                continue;
            };
            if matches!(&series.value, PointValue::Histogram(Histogram { exponential: None, .. })) {
                series.value = PointValue::Histogram(Histogram::new(bounds, true));
                series.start_unix_nanos = self.since_unix_nanos;
            }
        }
    }

    /// The port as a dimension: a client's remote ports are kept up to a limit, a server's own ports always.
    pub fn server_port(&mut self, role: Role, port: u16) -> Option<u16> {
        if role == Role::Client && !self.remote_ports.contains(&port) {
            if self.remote_ports.len() >= REMOTE_PORTS {
                return None;
            }
            self.remote_ports.insert(port);
        }
        Some(port)
    }

    /// Adds to a sum and says which series it is.
    #[inline]
    pub fn add(&mut self, instrument: Instrument, facet: &Facet, extra: Extra, amount: i64) -> SeriesId {
        let id = self.id(instrument, facet, extra);
        self.add_to(id, amount);
        id
    }

    /// Adds to the sum that [`Group::add`] named.
    #[inline]
    pub fn add_to(&mut self, id: SeriesId, amount: i64) {
        self.changed = true;
        if let Some(Series { value: PointValue::Sum(sum), .. }) = self.series.get_mut(id.index()) {
            *sum = sum.saturating_add(amount);
        }
    }

    /// Adds a measurement to a histogram.
    #[inline]
    pub fn record(&mut self, instrument: Instrument, facet: &Facet, measured: f64) {
        let id = self.id(instrument, facet, Extra::None);
        self.changed = true;
        let model::Instrument::Histogram { bounds } = instrument.descriptor().instrument else {
            return;
        };
        if let Some(Series { value: PointValue::Histogram(histogram), .. }) = self.series.get_mut(id.index())
        {
            histogram.record(bounds, measured);
        }
    }

    /// Measurements that went to an overflow set.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// All points, read at `now_unix_nanos`; `None` without any.
    pub fn collect(&mut self, now_unix_nanos: u64) -> Option<MetricResource> {
        if std::mem::take(&mut self.changed) {
            self.idle_since_unix_nanos = now_unix_nanos;
        }
        self.since_unix_nanos = now_unix_nanos;
        self.points(|series| series.value.clone())
    }

    /// How long nothing has changed, nanoseconds, as of the last collection.
    pub fn idle_nanos(&self) -> u64 {
        self.since_unix_nanos.saturating_sub(self.idle_since_unix_nanos)
    }

    /// The points that say that all series have ended.
    pub fn ended(&self) -> Option<MetricResource> {
        self.points(|_| PointValue::NoRecordedValue)
    }

    fn points(&self, value: impl Fn(&Series) -> PointValue) -> Option<MetricResource> {
        let mut by_instrument: [Vec<Point>; Instrument::COUNT] = Default::default();
        for (index, points) in by_instrument.iter_mut().enumerate() {
            points.reserve_exact(self.sets[index]);
        }
        for series in &self.series {
            by_instrument[series.instrument as usize].push(Point {
                attributes: Arc::clone(&series.attributes),
                start_unix_nanos: series.start_unix_nanos,
                value: value(series),
            });
        }
        let metrics: Vec<Metric> = Instrument::ALL
            .into_iter()
            .zip(by_instrument)
            .filter(|(_, points)| !points.is_empty())
            .map(|(instrument, points)| Metric { descriptor: instrument.descriptor(), points })
            .collect();
        (!metrics.is_empty()).then(|| MetricResource { resource: Arc::clone(&self.resource), metrics })
    }

    #[inline]
    fn id(&mut self, instrument: Instrument, facet: &Facet, extra: Extra) -> SeriesId {
        match self.rows.find(facet, instrument, extra) {
            Some(id) => id,
            None => self.look_up(instrument, facet, extra),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, instrument: Instrument, facet: &Facet, extra: Extra) -> SeriesId {
        let found = self.rows.locate(facet).then(|| self.rows.find(facet, instrument, extra)).flatten();
        found.unwrap_or_else(|| self.begin(instrument, facet, extra))
    }

    /// A new series, or the one of what has no room.
    #[cold]
    fn begin(&mut self, instrument: Instrument, facet: &Facet, extra: Extra) -> SeriesId {
        let room = !self.overflow_only && self.sets[instrument as usize] < self.cardinality;
        if room {
            let id = self.push(instrument, attributes(facet.dimensions(), extra));
            self.rows.add(facet, instrument, extra, id);
            return id;
        }
        self.overflowed += 1;
        if let Some(id) = self.overflows[instrument as usize] {
            return id;
        }
        let id = self.push(instrument, vec![("otel.metric.overflow", true.into())]);
        self.overflows[instrument as usize] = Some(id);
        id
    }

    fn push(&mut self, instrument: Instrument, attributes: AttributeSet) -> SeriesId {
        let value = match instrument.descriptor().instrument {
            model::Instrument::Histogram { bounds } => {
                PointValue::Histogram(Histogram::new(bounds, self.exponential))
            }
            model::Instrument::Counter | model::Instrument::UpDownCounter => PointValue::Sum(0),
        };
        let id = SeriesId::at(self.series.len());
        let start_unix_nanos = self.since_unix_nanos;
        self.series.push(Series { instrument, attributes: Arc::new(attributes), start_unix_nanos, value });
        self.sets[instrument as usize] += 1;
        id
    }
}

fn attributes(of: Option<&Dimensions>, extra: Extra) -> AttributeSet {
    let mut set: AttributeSet = Vec::with_capacity(8);
    if let Some(of) = of {
        set.push(("network.transport", "tcp".into()));
        set.push(("network.type", if of.v6 { "ipv6" } else { "ipv4" }.into()));
        set.push(("convis.connection.role", of.role.as_str().into()));
        set.push(("convis.peer.network", of.network.as_str().into()));
        if let Some(port) = of.port {
            set.push(("server.port", port.into()));
        }
        if let Some(peer) = &of.peer {
            set.push(("service.peer.name", peer.name().into()));
            if let Some(namespace) = peer.namespace() {
                set.push(("service.peer.namespace", namespace.into()));
            }
        }
    }
    if let Some((key, value)) = extra.attribute() {
        set.push((key, OwnedValue::from(value)));
    }
    set.sort_by_key(|(key, _)| *key);
    set
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::PeerNetwork;

    use super::*;

    const OF: Dimensions = Dimensions {
        v6: false,
        role: Role::Client,
        port: Some(80),
        network: PeerNetwork::Loopback,
        peer: None,
    };

    fn of() -> Facet {
        Facet::from(OF)
    }

    fn group() -> Group {
        Group::new(Arc::new(Resource::builder().build()), 100, 3)
    }

    fn sums(batch: &MetricResource, name: &str) -> Vec<i64> {
        let metric = batch.metrics.iter().find(|metric| metric.descriptor.name == name).unwrap();
        metric
            .points
            .iter()
            .map(|point| match point.value {
                PointValue::Sum(sum) => sum,
                _ => panic!("not a sum"),
            })
            .collect()
    }

    /// Scenario: two collections of a counter, a histogram and an up-down counter.
    /// Guarantees: cumulative values, the first start kept, measurements in their buckets, bounds inclusive.
    #[test]
    fn points_are_cumulative() {
        let mut group = group();
        group.add(Instrument::Io, &of(), Extra::Transmit, 5);
        let active = group.add(Instrument::Active, &of(), Extra::None, 1);
        group.record(Instrument::Rtt, &of(), 0.000_05);
        group.record(Instrument::Rtt, &of(), 11.0);
        group.collect(200).unwrap();
        group.add(Instrument::Io, &of(), Extra::Transmit, 7);
        group.add_to(active, -1);
        let batch = group.collect(300).unwrap();
        assert_eq!(sums(&batch, "convis.tcp.connection.io"), [12]);
        assert_eq!(sums(&batch, "convis.tcp.connection.active"), [0]);
        assert_eq!(batch.metrics[0].points[0].start_unix_nanos, 100);
        let rtt = batch.metrics.iter().find(|metric| metric.descriptor.name == "convis.tcp.rtt").unwrap();
        let PointValue::Histogram(histogram) = &rtt.points[0].value else { panic!("not a histogram") };
        assert_eq!(histogram.exponential, None);
        assert_eq!((histogram.count, histogram.buckets[0], histogram.buckets.last()), (2, 1, Some(&1)));
        assert!((histogram.sum - 11.000_05).abs() < 1e-9 && histogram.max > 10.9);
    }

    /// Scenario: a sink wants exponential buckets.
    /// Guarantees: histograms have them beside the others, with the same measurements.
    #[test]
    fn exponential_buckets_are_there_when_wanted() {
        let mut group = group().with_exponential(true);
        for seconds in [0.5, 0.000_05, 11.0] {
            group.record(Instrument::Rtt, &of(), seconds);
        }
        let batch = group.collect(200).unwrap();
        let PointValue::Histogram(histogram) = &batch.metrics[0].points[0].value else {
            panic!("not a histogram")
        };
        let exponential = histogram.exponential.as_ref().unwrap();
        assert_eq!((histogram.count, exponential.count(), exponential.zero_count()), (3, 3, 0));
        assert_eq!(exponential.scale(), 3);
    }

    /// Scenario: a series that begins after a collection.
    /// Guarantees: it starts at that collection, so that its first point covers only what it counted.
    #[test]
    fn a_late_series_starts_late() {
        let mut group = group();
        group.add(Instrument::Opened, &of(), Extra::None, 1);
        group.collect(200).unwrap();
        group.add(Instrument::Io, &of(), Extra::Transmit, 1);
        let batch = group.collect(300).unwrap();
        assert_eq!(batch.metrics[0].descriptor.name, "convis.tcp.connection.io");
        assert_eq!(batch.metrics[0].points[0].start_unix_nanos, 200);
    }

    /// Scenario: more attribute sets than allowed.
    /// Guarantees: one overflow set holds the rest, nothing is lost or counted twice, known sets go on.
    #[test]
    fn beyond_the_limit_is_one_set() {
        let mut group = group();
        for port in 1..=10 {
            group.add(Instrument::Opened, &Dimensions { port: Some(port), ..OF }.into(), Extra::None, 1);
        }
        group.add(Instrument::Opened, &Dimensions { port: Some(1), ..OF }.into(), Extra::None, 1);
        let batch = group.collect(200).unwrap();
        assert_eq!(sums(&batch, "convis.tcp.connection.opened"), [2, 1, 1, 7]);
        let overflow = &batch.metrics[0].points[3].attributes;
        assert_eq!(**overflow, [("otel.metric.overflow", OwnedValue::Bool(true))]);
        assert_eq!(group.overflowed(), 7);
    }

    /// Scenario: a client that connects to more remote ports than are kept, and a server of many ports.
    /// Guarantees: the port is left out for new remote ports only.
    #[test]
    fn remote_ports_are_limited() {
        let mut group = group();
        let kept = (1..=150).filter(|port| group.server_port(Role::Client, *port).is_some()).count();
        assert_eq!(kept, REMOTE_PORTS);
        assert_eq!(group.server_port(Role::Client, 5), Some(5));
        assert_eq!(group.server_port(Role::Server, 149), Some(149));
    }

    /// Scenario: a group whose values stop changing.
    /// Guarantees: idle time counts from the collection that saw the last change; the end carries no value.
    #[test]
    fn idle_and_ended() {
        let mut group = group();
        group.add(Instrument::Opened, &of(), Extra::None, 1);
        group.collect(200);
        group.collect(500);
        assert_eq!(group.idle_nanos(), 300);
        assert_eq!(group.ended().unwrap().metrics[0].points[0].value, PointValue::NoRecordedValue);
    }
}
