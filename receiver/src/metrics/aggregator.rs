//! All series, by Resource.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use convis_exporters::model::{MetricBatch, Resource, ResourceBuilder};
use rustc_hash::FxHashMap;

use super::group::{Group, GroupHandle};
use crate::identity::Workload;
use crate::identity::process::{Describer, Process};

/// What the Resource of metrics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ResourceMode {
    /// Each executable of a host, container or pod, without process ids.
    Executable,
    /// Each process image.
    Process,
    /// Each container or pod; the host for what is in none.
    Container,
    /// The host.
    Host,
}

/// How much is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Metric Resources; points of further ones go to the host's, marked as overflow.
    pub resources: usize,
    /// Attribute sets per Resource and instrument.
    pub cardinality: usize,
    /// A Resource's series end when its last process is gone and nothing changed for this long.
    pub series_ttl: Duration,
}

/// Workloads are told apart by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum GroupKey {
    Overflow,
    Dropped,
    Host,
    Executable { workload: Rc<str>, image: String },
    Process { workload: Rc<str>, process: (u32, u64, Option<u32>) },
    Container { workload: Rc<str> },
}

impl GroupKey {
    fn is_of(&self, of: &str) -> bool {
        match self {
            Self::Executable { workload, .. }
            | Self::Process { workload, .. }
            | Self::Container { workload } => **workload == *of,
            Self::Overflow | Self::Dropped | Self::Host => false,
        }
    }
}

/// All series, by Resource.
#[derive(Debug)]
pub struct Aggregator {
    mode: ResourceMode,
    limits: Limits,
    /// Start of the first series: when the programs were attached; later the last collection.
    since_unix_nanos: u64,
    groups: FxHashMap<GroupKey, GroupHandle>,
    /// Get their last points, because their Resources are known better now.
    retired: Vec<GroupHandle>,
    /// When that came about, since the last collection: where the series of the better Resource start.
    renewed_unix_nanos: FxHashMap<Rc<str>, u64>,
    /// Have had their last points. `None`: their Resources are no longer what they were.
    ending: Vec<(Option<GroupKey>, GroupHandle)>,
    overflowed: u64,
    exponential: bool,
}

impl Aggregator {
    /// No series yet; nothing before `attached_unix_nanos` is counted.
    pub fn new(mode: ResourceMode, limits: Limits, attached_unix_nanos: u64) -> Self {
        Self {
            mode,
            limits,
            since_unix_nanos: attached_unix_nanos,
            groups: FxHashMap::default(),
            retired: Vec::new(),
            renewed_unix_nanos: FxHashMap::default(),
            ending: Vec::new(),
            overflowed: 0,
            exponential: false,
        }
    }

    /// Measurements go into exponential buckets too, if `exponential`: for sinks that send those.
    #[must_use]
    pub fn with_exponential(mut self, exponential: bool) -> Self {
        self.exponential = exponential;
        self
    }

    /// From now on measurements go into exponential buckets too. What was measured before did not: the batch, `None` when it
    /// always did, has the last points of the histograms so far, which begin again at its time. No measurement is in both or
    /// in neither.
    #[must_use = "the last points are in no other batch"]
    pub fn begin_exponential(&mut self, now_unix_nanos: u64) -> Option<MetricBatch> {
        if self.exponential {
            return None;
        }
        let last = self.collect(now_unix_nanos);
        self.exponential = true;
        self.groups.values().for_each(|group| group.borrow_mut().begin_exponential());
        Some(last)
    }

    /// Whether each process has metrics of its own.
    pub fn is_per_process(&self) -> bool {
        self.mode == ResourceMode::Process
    }

    /// The series of the Resource of a process in a workload.
    pub fn group(
        &mut self,
        process: &Process,
        uid: u32,
        workload: &Rc<Workload>,
        describer: &Describer,
    ) -> GroupHandle {
        let mut held = process.group.borrow_mut();
        if let Some((of, group)) = &*held
            && of == workload.key()
            && !group.borrow().is_retired()
        {
            return Rc::clone(group);
        }
        let group = self.find(process, uid, workload, describer);
        *held = Some((Rc::clone(workload.key()), Rc::clone(&group)));
        group
    }

    /// The Resources of a workload are known better now: what was counted gets its last points, and series on the better
    /// Resources start from nothing. Holders of a retired group have to ask for the new one.
    pub fn renew(&mut self, workload: &Workload, now_unix_nanos: u64) {
        let key = workload.key();
        let of_workload = self.groups.extract_if(|group, _| group.is_of(key));
        let retired: Vec<_> = of_workload.map(|(_, group)| group).collect();
        if retired.is_empty() {
            return;
        }
        for group in &retired {
            group.borrow_mut().retire();
            self.overflowed += group.borrow().overflowed();
        }
        self.retired.extend(retired);
        self.renewed_unix_nanos.insert(Rc::clone(key), now_unix_nanos);
    }

    /// The series of the host's Resource, for what no process holds.
    pub fn host(&mut self, describer: &Describer) -> GroupHandle {
        self.find_or_begin(GroupKey::Host, || host_resource(describer, &[]).build())
    }

    /// The series of what was lost before it could be told whose it was: on a Resource of the host that says so.
    pub fn dropped(&mut self, describer: &Describer) -> GroupHandle {
        self.find_or_begin(GroupKey::Dropped, || {
            host_resource(describer, &["dropped"]).with("convis.dropped", true).build()
        })
    }

    /// Number of metric Resources.
    pub fn resources(&self) -> usize {
        self.groups.len()
    }

    /// Measurements that went to an overflow set.
    pub fn overflowed(&self) -> u64 {
        self.overflowed + self.groups.values().map(|group| group.borrow().overflowed()).sum::<u64>()
    }

    /// Every point, read at `now_unix_nanos`. Resources that ended are reported a last time, then as ended.
    pub fn collect(&mut self, now_unix_nanos: u64) -> MetricBatch {
        // What has begun again has another start, which says enough: a stream has one point at a time.
        let again = |key: &Option<GroupKey>| key.as_ref().is_some_and(|key| self.groups.contains_key(key));
        let over = self.ending.drain(..).filter(|(key, _)| !again(key));
        let mut resources: Vec<_> = over.filter_map(|(_, group)| group.borrow().ended()).collect();
        self.since_unix_nanos = now_unix_nanos;
        self.renewed_unix_nanos.clear();
        for group in self.retired.drain(..) {
            resources.extend(group.borrow_mut().collect(now_unix_nanos));
            self.ending.push((None, group));
        }
        let ttl = u64::try_from(self.limits.series_ttl.as_nanos()).unwrap_or(u64::MAX);
        let (ending, overflowed) = (&mut self.ending, &mut self.overflowed);
        self.groups.retain(|key, group| {
            resources.extend(group.borrow_mut().collect(now_unix_nanos));
            let over = Rc::strong_count(group) == 1 && group.borrow().idle_nanos() >= ttl;
            if over {
                *overflowed += group.borrow().overflowed();
                ending.push((Some(key.clone()), Rc::clone(group)));
            }
            !over
        });
        MetricBatch { time_unix_nanos: now_unix_nanos, resources }
    }

    fn find(
        &mut self,
        process: &Process,
        uid: u32,
        workload: &Rc<Workload>,
        describer: &Describer,
    ) -> GroupHandle {
        let key = self.key(process, workload);
        if let Some(group) = self.groups.get(&key) {
            return Rc::clone(group);
        }
        if self.groups.len() < self.limits.resources {
            let resource = self.resource(process, uid, workload, describer);
            return self.begin(key, resource, |group| group);
        }
        if let Some(group) = self.groups.get(&GroupKey::Overflow) {
            return Rc::clone(group);
        }
        self.begin(GroupKey::Overflow, host_resource(describer, &[]).build(), Group::overflow_only)
    }

    fn find_or_begin(&mut self, key: GroupKey, resource: impl FnOnce() -> Resource) -> GroupHandle {
        match self.groups.get(&key) {
            Some(group) => Rc::clone(group),
            None => self.begin(key, resource(), |group| group),
        }
    }

    fn begin(&mut self, key: GroupKey, resource: Resource, make: impl Fn(Group) -> Group) -> GroupHandle {
        let renewed = self.renewed_unix_nanos.iter().find(|(workload, _)| key.is_of(workload));
        let since = renewed.map_or(self.since_unix_nanos, |(_, since)| *since);
        let group =
            Group::new(Arc::new(resource), since, self.limits.cardinality).with_exponential(self.exponential);
        let group = Rc::new(RefCell::new(make(group)));
        self.groups.insert(key, Rc::clone(&group));
        group
    }

    fn key(&self, process: &Process, workload: &Workload) -> GroupKey {
        let workload_key = Rc::clone(workload.key());
        match self.mode {
            ResourceMode::Executable => {
                GroupKey::Executable { workload: workload_key, image: process.image.identity().to_owned() }
            }
            ResourceMode::Process => GroupKey::Process {
                workload: workload_key,
                process: (process.pid, process.start_ticks, process.exec_seq.get()),
            },
            ResourceMode::Container if !workload.is_host() => GroupKey::Container { workload: workload_key },
            ResourceMode::Container | ResourceMode::Host => GroupKey::Host,
        }
    }

    fn resource(
        &self,
        process: &Process,
        uid: u32,
        workload: &Rc<Workload>,
        describer: &Describer,
    ) -> Resource {
        match self.mode {
            ResourceMode::Executable => {
                let parts = [workload.instance_part(), process.image.identity()];
                let builder = Resource::builder().with("service.instance.id", describer.instance_id(&parts));
                process.image.describe(builder, workload, describer).build()
            }
            ResourceMode::Process => {
                process.identity(uid, workload, describer, |identity| identity.resource.as_ref().clone())
            }
            ResourceMode::Container if !workload.is_host() => {
                let instance = describer.instance_id(&[workload.instance_part(), ""]);
                let builder = Resource::builder().with("service.instance.id", instance);
                let otherwise = workload.instance_part();
                let builder = workload.describe(builder, otherwise, describer.k8s_labels);
                describer.host.describe(builder).build()
            }
            ResourceMode::Container | ResourceMode::Host => host_resource(describer, &[]).build(),
        }
    }
}

/// The host's, or that of a part of it which no process stands for.
fn host_resource(describer: &Describer, part: &[&str]) -> ResourceBuilder {
    let builder = Resource::builder().with("service.instance.id", describer.instance_id(part));
    describer.host.describe(builder).with("service.name", "host")
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::{PeerNetwork, PointValue, Role, Value};

    use super::super::facet::{Dimensions, Facet};
    use super::super::instruments::{Extra, Instrument};
    use super::*;
    use crate::clock::Clock;
    use crate::identity::cgroup::Place;
    use crate::identity::users::Users;
    use crate::identity::{Host, Image};

    fn describer() -> Describer {
        Describer {
            host: Host { name: "h".into(), ..Host::default() },
            users: Users::from_file("/nonexistent"),
            clock: Clock::ahead(0),
            k8s_labels: false,
        }
    }

    fn host() -> Rc<Workload> {
        Rc::new(Workload::new(Place::default()))
    }

    fn process(pid: u32, path: &str) -> Process {
        let image = Image { name: "x".into(), path: Some(path.into()), command: None };
        Process::new(pid, 1, 5, Some(1), Rc::new(image))
    }

    fn aggregator(mode: ResourceMode, resources: usize) -> Aggregator {
        Aggregator::new(
            mode,
            Limits { resources, cardinality: 2000, series_ttl: Duration::from_nanos(50) },
            100,
        )
    }

    fn open(aggregator: &mut Aggregator, process: &Process) {
        let group = aggregator.group(process, 0, &host(), &describer());
        group.borrow_mut().add(Instrument::Opened, &Facet::undivided(), Extra::None, 1);
    }

    /// Scenario: two processes of one executable and one of another, in each mode.
    /// Guarantees: as many Resources as the mode says; ids that differ; no pid but by process.
    #[test]
    fn modes_decide_the_resource() {
        for (mode, expected) in
            [(ResourceMode::Executable, 2), (ResourceMode::Process, 3), (ResourceMode::Host, 1)]
        {
            let mut aggregator = aggregator(mode, 10);
            for (pid, path) in [(1, "/a"), (2, "/a"), (3, "/b")] {
                open(&mut aggregator, &process(pid, path));
            }
            let batch = aggregator.collect(200);
            assert_eq!(batch.resources.len(), expected);
            let mut ids: Vec<_> =
                batch.resources.iter().map(|of| of.resource.text("service.instance.id").unwrap()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), expected);
            let with_pid = batch.resources.iter().any(|of| of.resource.get("process.pid").is_some());
            assert_eq!(with_pid, mode == ResourceMode::Process);
        }
    }

    /// Scenario: more executables than Resources are allowed.
    /// Guarantees: the rest is on the host's Resource, marked, and counted.
    #[test]
    fn beyond_the_limit_goes_to_the_host() {
        let mut aggregator = aggregator(ResourceMode::Executable, 2);
        for pid in 1..=5 {
            open(&mut aggregator, &process(pid, &format!("/bin/{pid}")));
        }
        let batch = aggregator.collect(200);
        assert_eq!(batch.resources.len(), 3);
        let host =
            batch.resources.iter().find(|of| of.resource.get("process.executable.name").is_none()).unwrap();
        assert_eq!(host.metrics[0].points[0].value, PointValue::Sum(3));
        assert_eq!(host.metrics[0].points[0].attributes[0].0, "otel.metric.overflow");
        assert_eq!(host.resource.get("host.name"), Some(Value::Str("h")));
        assert_eq!(aggregator.overflowed(), 3);
    }

    /// Scenario: what no process holds and what was lost is counted, with no room for another Resource.
    /// Guarantees: each has a Resource of its own, the latter marked, and the host's is found again.
    #[test]
    fn host_and_dropped_are_apart() {
        let mut aggregator = aggregator(ResourceMode::Executable, 0);
        for _ in 0..2 {
            let host = aggregator.host(&describer());
            host.borrow_mut().add(Instrument::Io, &Facet::undivided(), Extra::Transmit, 1);
        }
        let dropped = aggregator.dropped(&describer());
        dropped.borrow_mut().add(Instrument::Io, &Facet::undivided(), Extra::Transmit, 5);
        let batch = aggregator.collect(200);
        let mut of: Vec<_> = batch.resources.iter().collect();
        of.sort_by_key(|of| of.resource.get("convis.dropped").is_some());
        let values: Vec<_> = of.iter().map(|of| of.metrics[0].points[0].value.clone()).collect();
        assert_eq!(values, [PointValue::Sum(2), PointValue::Sum(5)]);
        assert_eq!(of[1].resource.get("convis.dropped"), Some(Value::Bool(true)));
        assert_eq!(of[1].resource.text("host.name"), Some("h"));
        assert_ne!(of[0].resource.text("service.instance.id"), of[1].resource.text("service.instance.id"));
    }

    /// Scenario: an executable's last process is gone, then nothing changes for the time to live; another's process lives.
    /// Guarantees: a last value, then one point without a value, then nothing; the living one goes on; a new start counts
    /// from zero.
    #[test]
    fn series_end_with_their_processes() {
        let mut aggregator = aggregator(ResourceMode::Executable, 10);
        let living = process(1, "/lives");
        open(&mut aggregator, &living);
        open(&mut aggregator, &process(2, "/gone"));
        assert_eq!(aggregator.collect(200).resources.len(), 2);
        assert_eq!(aggregator.collect(240).resources.len(), 2);
        assert_eq!(aggregator.collect(250).resources.len(), 2);
        let batch = aggregator.collect(260);
        let values: Vec<_> = batch.resources.iter().map(|of| of.metrics[0].points[0].value.clone()).collect();
        assert_eq!(values, [PointValue::NoRecordedValue, PointValue::Sum(1)]);
        assert_eq!(aggregator.collect(400).resources.len(), 1);
        open(&mut aggregator, &process(3, "/gone"));
        let batch = aggregator.collect(500);
        assert!(batch.resources.iter().all(|of| of.metrics[0].points[0].value == PointValue::Sum(1)));
        aggregator.collect(510);
        assert_eq!(aggregator.collect(560).resources.len(), 2);
        open(&mut aggregator, &process(4, "/gone"));
        let values = |batch: &MetricBatch| -> Vec<_> {
            batch.resources.iter().map(|of| of.metrics[0].points[0].value.clone()).collect()
        };
        let batch = aggregator.collect(570);
        assert_eq!(
            values(&batch),
            [PointValue::Sum(1), PointValue::Sum(1)],
            "no end beside the new beginning"
        );
    }

    /// Scenario: measurements, then a sink wants exponential buckets, then more measurements; it is asked a second time.
    /// Guarantees: the histogram's last point without such buckets, then one that starts at the time of the last, with them, and
    /// has only what came later, from which a second wish takes nothing; sums go on as they were; a new series has both forms.
    #[test]
    fn exponential_buckets_begin_when_they_are_wanted() {
        let mut aggregator = aggregator(ResourceMode::Executable, 10);
        let (process, newer) = (process(1, "/a"), process(2, "/b"));
        let measure = |aggregator: &mut Aggregator, process: &Process, seconds| {
            open(aggregator, process);
            let of = Dimensions {
                v6: false,
                role: Role::Client,
                port: None,
                network: PeerNetwork::Loopback,
                peer: None,
            };
            let group = aggregator.group(process, 0, &host(), &describer());
            group.borrow_mut().record(Instrument::Rtt, &of.into(), seconds);
        };
        // Start and value of the count of connections, then of the histogram: count, sum, and those in exponential buckets.
        let read = |batch: &MetricBatch| -> Vec<(u64, f64, Option<u64>)> {
            let metrics = batch.resources.iter().flat_map(|of| &of.metrics);
            let points = metrics.flat_map(|metric| &metric.points).map(|point| match &point.value {
                PointValue::Histogram(histogram) => {
                    let exponential = histogram.exponential.as_ref().map(|buckets| buckets.count());
                    assert!(exponential.is_none_or(|count| count == histogram.count));
                    (point.start_unix_nanos, histogram.sum, exponential)
                }
                PointValue::Sum(sum) => {
                    (point.start_unix_nanos, f64::from(i32::try_from(*sum).unwrap()), None)
                }
                PointValue::NoRecordedValue => panic!("nothing ends"),
            });
            points.collect()
        };
        measure(&mut aggregator, &process, 1.0);
        aggregator.collect(200);
        measure(&mut aggregator, &process, 2.0);
        let last = aggregator.begin_exponential(300).unwrap();
        assert_eq!(last.time_unix_nanos, 300);
        assert_eq!(read(&last), [(100, 2.0, None), (100, 3.0, None)]);
        measure(&mut aggregator, &process, 4.0);
        assert_eq!(aggregator.begin_exponential(350), None);
        assert_eq!(read(&aggregator.collect(400)), [(100, 3.0, None), (300, 4.0, Some(1))]);
        measure(&mut aggregator, &newer, 8.0);
        let mut all = read(&aggregator.collect(500));
        all.sort_by(|(a, x, _), (b, y, _)| a.cmp(b).then(x.total_cmp(y)));
        assert_eq!(all, [(100, 3.0, None), (300, 4.0, Some(1)), (400, 1.0, None), (400, 8.0, Some(1))]);
    }
}
