use proptest::prelude::*;

use super::*;
use crate::model::{Histogram, Metric, MetricResource, Point, Resource};
use crate::prometheus::line::STALE;
use crate::testing::samples::{ACTIVE, DURATION, IO, histogram, point};

const SECOND: u64 = 1_000_000_000;

fn resource(version: &str) -> Arc<Resource> {
    let resource = Resource::builder()
        .with("service.name", "web")
        .with("service.instance.id", "i")
        .with("container.image.tags", version);
    Arc::new(resource.build())
}

fn of(resource: &Arc<Resource>, metrics: Vec<(&'static Descriptor, Vec<Point>)>) -> MetricResource {
    let metrics = metrics.into_iter().map(|(descriptor, points)| Metric { descriptor, points });
    MetricResource { resource: Arc::clone(resource), metrics: metrics.collect() }
}

fn sum(number: i64) -> PointValue {
    PointValue::Sum(number)
}

fn batch(second: u64, resources: Vec<MetricResource>) -> Arc<MetricBatch> {
    Arc::new(MetricBatch { time_unix_nanos: second * SECOND, resources })
}

/// One counter that started at a second.
fn counter(second: u64, start: u64, value: PointValue) -> Arc<MetricBatch> {
    batch(second, vec![of(&resource("1"), vec![(&IO, vec![point("receive", start * SECOND, value)])])])
}

/// Series as text: the metric's name, what tells it from others, and its samples; of a native histogram `h` with the count, the
/// sum and `!` where it begins.
fn shown(lines: &[Line]) -> Vec<String> {
    let label = |line: &Line, wanted: &str| {
        let value = line.labels().find(|(name, _)| *name == wanted).map(|(_, value)| value.into_owned());
        value.unwrap_or_default()
    };
    let sample = |sample: &crate::prometheus::line::Sample| match sample.value.to_bits() {
        STALE => format!("stale@{}", sample.at),
        _ if sample.start == 0 => format!("{}@{}", sample.value, sample.at),
        _ => format!("{}@{}<{}", sample.value, sample.at, sample.start),
    };
    let histogram = |reading: &Reading<'_>| {
        let PointValue::Histogram(value) = &*reading.value else { return format!("h:stale@{}", reading.at) };
        let count = value.exponential.as_ref().unwrap().count();
        assert_eq!(count, value.count);
        let (resets, start) = (if reading.resets { "!" } else { "" }, reading.start);
        let start = if start == 0 { String::new() } else { format!("<{start}") };
        format!("h{resets}:{count},{}@{}{start}", value.sum, reading.at)
    };
    let line = |line: &Line| {
        let samples = line.samples().iter().map(sample);
        let samples: Vec<_> = samples.chain(line.histograms().iter().map(histogram)).collect();
        let name = label(line, "__name__");
        let name = name.trim_start_matches("convis_tcp_connection_");
        format!("{name} {} {}", label(line, "le") + &label(line, "container_image_tags"), samples.join(" "))
    };
    lines.iter().map(line).collect()
}

/// Sends a batch whole.
fn send(streams: &mut Streams, batch: &Arc<MetricBatch>) -> Vec<String> {
    let shown = shown(&streams.lines(&[Slice::whole(Arc::clone(batch))]));
    streams.sent(true);
    shown
}

fn streams() -> Streams {
    Streams::new(Form { keys: Vec::new(), native: false })
}

/// Scenario: a counter begins, grows, rests, ends and comes back at the very time of its end.
/// Guarantees: a zero at its start, once; a stale marker, as for `target_info`; on its return a zero after the marker.
#[test]
fn the_life_of_a_counter() {
    let mut streams = streams();
    assert_eq!(
        send(&mut streams, &counter(20, 10, sum(5))),
        ["io_bytes_total  0@10000 5@20000<10000", "target_info 1 1@20000"]
    );
    assert_eq!(
        send(&mut streams, &counter(30, 10, sum(5))),
        ["io_bytes_total  5@30000<10000", "target_info 1 1@30000"]
    );
    assert_eq!(
        send(&mut streams, &counter(40, 10, PointValue::NoRecordedValue)),
        ["io_bytes_total  stale@40000", "target_info 1 stale@40000"]
    );
    assert_eq!(
        send(&mut streams, &counter(50, 40, sum(2))),
        ["io_bytes_total  0@40001 2@50000<40000", "target_info 1 1@50000"]
    );
    send(&mut streams, &counter(60, 40, PointValue::NoRecordedValue));
    send(&mut streams, &batch(70, vec![of(&resource("2"), vec![(&ACTIVE, vec![point("x", 0, sum(1))])])]));
    send(&mut streams, &batch(80, vec![of(&resource("2"), vec![(&ACTIVE, vec![point("x", 0, sum(1))])])]));
    assert_eq!(streams.known.len(), 2, "what ended is forgotten: {streams:?}");
}

/// Scenario: a series starts anew without a word about its end, while another of its Resource is not told any more.
/// Guarantees: a zero between the runs, no stale marker for the one that goes on, one for the other.
#[test]
fn a_new_start_is_a_reset() {
    let mut streams = streams();
    let two = vec![point("receive", 10 * SECOND, sum(5)), point("transmit", 10 * SECOND, sum(6))];
    send(&mut streams, &batch(20, vec![of(&resource("1"), vec![(&IO, two)])]));
    assert_eq!(
        send(&mut streams, &counter(30, 20, sum(1))),
        ["io_bytes_total  0@20001 1@30000<20000", "target_info 1 1@30000", "io_bytes_total  stale@30000"]
    );
}

/// Scenario: a series whose start is its first time, or later.
/// Guarantees: the zero comes a millisecond before, and no start goes with a sample that is not after it.
#[test]
fn a_zero_is_always_before() {
    assert_eq!(send(&mut streams(), &counter(20, 20, sum(5)))[0], "io_bytes_total  0@19999 5@20000");
    assert_eq!(send(&mut streams(), &counter(20, 21, sum(5)))[0], "io_bytes_total  0@19999 5@20000");
}

/// Scenario: a histogram and a level begin and end.
/// Guarantees: every part of a histogram begins with a zero and ends with a marker; a level has no zero.
#[test]
fn histograms_and_levels() {
    let mut streams = streams();
    let both = |second, value, level| {
        let histogram = (&DURATION, vec![point("x", 10 * SECOND, value)]);
        batch(
            second,
            vec![of(&resource("1"), vec![histogram, (&ACTIVE, vec![point("x", 10 * SECOND, level)])])],
        )
    };
    assert_eq!(
        send(&mut streams, &both(20, histogram([1, 2, 3], 6.5), sum(4))),
        [
            "duration_seconds_bucket 0.1 0@10000 1@20000<10000",
            "duration_seconds_bucket 1 0@10000 3@20000<10000",
            "duration_seconds_bucket +Inf 0@10000 6@20000<10000",
            "duration_seconds_sum  0@10000 6.5@20000<10000",
            "duration_seconds_count  0@10000 6@20000<10000",
            "active  4@20000",
            "target_info 1 1@20000",
        ]
    );
    let ended = send(&mut streams, &both(30, PointValue::NoRecordedValue, PointValue::NoRecordedValue));
    assert_eq!(ended.len(), 7);
    assert!(ended.iter().all(|line| line.ends_with(" stale@30000")), "{ended:?}");
}

/// A histogram in exponential buckets.
fn exponential(measured: &[f64]) -> PointValue {
    let Instrument::Histogram { bounds } = DURATION.instrument else { panic!() };
    let mut histogram = Histogram::new(bounds, true);
    for measured in measured {
        histogram.record(bounds, *measured);
    }
    PointValue::Histogram(histogram)
}

/// A collection of histograms: of which version of the Resource, from which second, with what.
fn histograms(second: u64, all: &[(&str, u64, PointValue)]) -> Arc<MetricBatch> {
    let one = |(version, start, value): &(&str, u64, PointValue)| {
        of(&resource(version), vec![(&DURATION, vec![point("x", start * SECOND, value.clone())])])
    };
    batch(second, all.iter().map(one).collect())
}

fn native() -> Streams {
    Streams::new(Form { keys: Vec::new(), native: true })
}

/// Scenario: a native histogram begins, grows, ends and comes back; a sink that wants none has the same.
/// Guarantees: one series, empty first, with the hint of a reset there and only there, a marker at the end; classic series for the
/// other sink.
#[test]
fn the_life_of_a_native_histogram() {
    let mut streams = native();
    let lives = [
        (histograms(20, &[("1", 10, exponential(&[0.5, 2.0]))]), "h!:0,0@10000 h:2,2.5@20000<10000"),
        (histograms(30, &[("1", 10, exponential(&[0.5, 2.0, 4.0]))]), "h:3,6.5@30000<10000"),
        (histograms(40, &[("1", 10, PointValue::NoRecordedValue)]), "h:stale@40000"),
        (histograms(50, &[("1", 40, exponential(&[8.0]))]), "h!:0,0@40001 h:1,8@50000<40000"),
        (histograms(60, &[("1", 59, exponential(&[]))]), "h!:0,0@59000 h:0,0@60000<59000"),
    ];
    for (batch, expected) in lives {
        assert_eq!(send(&mut streams, &batch)[0], format!("duration_seconds  {expected}"));
    }
    let plain = send(&mut self::streams(), &histograms(20, &[("1", 10, exponential(&[0.5, 2.0]))]));
    assert_eq!(
        plain[..2],
        [
            "duration_seconds_bucket 0.1 0@10000 0@20000<10000",
            "duration_seconds_bucket 1 0@10000 1@20000<10000"
        ]
    );
}

/// Scenario: a sum begins anew a millisecond after the last sample.
/// Guarantees: there is no room for an empty histogram, so that the value itself has the hint.
#[test]
fn a_reset_without_room_is_hinted() {
    let mut streams = native();
    send(&mut streams, &histograms(20, &[("1", 10, exponential(&[0.5]))]));
    let mut next = Arc::unwrap_or_clone(histograms(20, &[("1", 20, exponential(&[0.25, 1.0]))]));
    next.time_unix_nanos += 1_000_000;
    assert_eq!(send(&mut streams, &Arc::new(next))[0], "duration_seconds  h!:2,1.25@20001<20000");
}

/// Scenario: two streams with the same labels, at scales far apart, side by side; then one hands over to the other.
/// Guarantees: their sum in each bucket; then the old one's last value, an empty one, and the new value.
#[test]
fn native_histograms_of_two_streams_add_up() {
    let mut streams = native();
    let (narrow, wide) = ([1.0, 1.001], [1e-6, 1.0, 1e6]);
    let both = histograms(20, &[("1", 10, exponential(&narrow)), ("2", 10, exponential(&wide))]);
    let lines = streams.lines(&[Slice::whole(both)]);
    let value = &lines[0].histograms()[1].value;
    let (PointValue::Histogram(told), PointValue::Histogram(all)) =
        (&**value, exponential(&[&narrow[..], &wide].concat()))
    else {
        panic!()
    };
    assert_eq!(told.exponential, all.exponential);
    assert_eq!((told.count, &told.buckets), (5, &all.buckets));
    streams.sent(true);
    let handed = histograms(30, &[("1", 10, exponential(&[1.0])), ("2", 25, exponential(&[3.0]))]);
    assert_eq!(
        send(&mut streams, &handed)[0],
        "duration_seconds  h:1,1@25000<10000 h!:0,0@25001 h:1,3@30000<25000"
    );
}

/// Scenario: one stream was measured without exponential buckets and hands over to one with them, as after a sink was added.
/// Guarantees: classic series with the one, a native one with the other, each with its own measurements; then the classic ones end.
#[test]
fn what_was_not_measured_exponentially_stays_classic() {
    let mut streams = native();
    let name = |line: &String| line.split(' ').next().unwrap().to_owned();
    let first = send(&mut streams, &histograms(20, &[("1", 10, histogram([1, 2, 3], 6.5))]));
    assert_eq!((first.len(), name(&first[0])), (6, "duration_seconds_bucket".to_owned()));
    let both = histograms(30, &[("1", 10, histogram([1, 2, 4], 7.5)), ("2", 25, exponential(&[3.0]))]);
    let second = send(&mut streams, &both);
    assert_eq!(second[4], "duration_seconds_count  7@30000<10000");
    assert_eq!(second[5], "duration_seconds  h!:0,0@25000 h:1,3@30000<25000");
    let third = send(&mut streams, &histograms(40, &[("2", 25, exponential(&[3.0]))]));
    assert_eq!(third[0], "duration_seconds  h:1,3@40000<25000");
    let ends = third.iter().filter(|line| line.ends_with(" stale@40000")).count();
    assert_eq!(ends, 5, "{third:?}");
}

/// Scenario: what is known of a Resource changes between two batches in nothing that is a label of its series; in one
/// batch come the old stream's last point and the new stream's first.
/// Guarantees: the old value where the new one begins, then a zero, then the new value: nothing lost or counted twice;
/// one `target_info` at a time; no marker for the series that goes on.
#[test]
fn a_stream_hands_over_to_another() {
    let mut streams = streams();
    let io =
        |version, start, value| of(&resource(version), vec![(&IO, vec![point("receive", start, value)])]);
    let active = |version, value| of(&resource(version), vec![(&ACTIVE, vec![point("x", SECOND, value)])]);
    send(&mut streams, &batch(20, vec![io("1", 10 * SECOND, sum(5)), active("1", sum(3))]));
    let resources = vec![
        io("1", 10 * SECOND, sum(8)),
        active("1", sum(0)),
        io("2", 25 * SECOND, sum(1)),
        active("2", sum(3)),
    ];
    assert_eq!(
        send(&mut streams, &batch(30, resources)),
        [
            "io_bytes_total  8@25000<10000 0@25001 1@30000<25000",
            "active  3@30000",
            "target_info 2 1@30000",
            "target_info 1 stale@30000",
        ]
    );
    let ends =
        of(&resource("1"), vec![(&IO, vec![point("receive", 10 * SECOND, PointValue::NoRecordedValue)])]);
    assert_eq!(
        send(&mut streams, &batch(40, vec![ends, io("2", 25 * SECOND, sum(2)), active("2", sum(3))])),
        ["io_bytes_total  2@40000<25000", "active  3@40000", "target_info 2 1@40000"]
    );
}

/// Scenario: two streams with the same labels go on side by side.
/// Guarantees: one series, their sum.
#[test]
fn streams_with_the_same_labels_are_one_series() {
    let mut streams = streams();
    let io = |version, value| of(&resource(version), vec![(&IO, vec![point("receive", SECOND, sum(value))])]);
    assert_eq!(
        send(&mut streams, &batch(20, vec![io("1", 5), io("2", 7)]))[0],
        "io_bytes_total  0@1000 12@20000<1000"
    );
    assert_eq!(
        send(&mut streams, &batch(30, vec![io("1", 6), io("2", 7)]))[0],
        "io_bytes_total  13@30000<1000"
    );
}

/// Scenario: the first request never reached the receiver; another one was given up, but may have arrived; an end was.
/// Guarantees: in the first case the beginning is told again; else never anything at or before a time that was used; an
/// end is told again.
#[test]
fn what_was_not_sent_is_told_again() {
    let mut streams = streams();
    let whole = |batch| [Slice::whole(batch)];
    streams.lines(&whole(counter(20, 10, sum(5))));
    let again = shown(&streams.lines(&whole(counter(30, 10, sum(6)))));
    assert_eq!(again[0], "io_bytes_total  0@10000 6@30000<10000");
    streams.sent(false);
    let next = shown(&streams.lines(&whole(counter(40, 10, sum(6)))));
    assert_eq!(next[0], "io_bytes_total  6@40000<10000");
    streams.sent(true);
    streams.lines(&whole(counter(50, 10, PointValue::NoRecordedValue)));
    streams.sent(false);
    let other = of(&resource("2"), vec![(&ACTIVE, vec![point("x", 0, sum(1))])]);
    let end = send(&mut streams, &batch(60, vec![other]));
    assert_eq!(end[2..], ["io_bytes_total  stale@60000", "target_info 1 stale@60000"]);
}

/// Scenario: the clock is set back.
/// Guarantees: nothing that a receiver would refuse; the series goes on once time has caught up.
#[test]
fn time_never_goes_back() {
    let mut streams = streams();
    send(&mut streams, &counter(20, 10, sum(5)));
    assert_eq!(send(&mut streams, &counter(15, 10, sum(6))), Vec::<String>::new());
    let mut same_millisecond = Arc::unwrap_or_clone(counter(20, 10, sum(6)));
    same_millisecond.time_unix_nanos += 999_999;
    assert_eq!(send(&mut streams, &Arc::new(same_millisecond)), Vec::<String>::new());
    assert_eq!(send(&mut streams, &counter(21, 10, sum(7)))[0], "io_bytes_total  7@21000<10000");
}

/// Scenario: batches waited; of the older one only the last points and the ends of series remain, one of which begins anew.
/// Guarantees: what is not in it goes on; what it says has ended is marked then, and begins with a zero after that.
#[test]
fn a_pruned_batch_ends_only_what_it_says() {
    let mut streams = streams();
    let points = |series: &[(&'static str, u64, PointValue)]| {
        let points =
            series.iter().map(|(direction, start, value)| point(direction, start * SECOND, value.clone()));
        vec![of(&resource("1"), vec![(&IO, points.collect())])]
    };
    send(&mut streams, &batch(20, points(&[("0", 10, sum(1)), ("1", 10, sum(2)), ("2", 10, sum(3))])));
    let rest = batch(30, points(&[("0", 10, PointValue::NoRecordedValue), ("1", 10, sum(4))]));
    let lines = streams.lines(&[Slice { pruned: true, ..Slice::whole(rest) }]);
    assert_eq!(
        shown(&lines),
        ["io_bytes_total  4@30000<10000", "target_info 1 1@30000", "io_bytes_total  stale@30000"]
    );
    streams.sent(true);
    assert_eq!(
        send(&mut streams, &batch(40, points(&[("0", 30, sum(5)), ("2", 10, sum(6))]))),
        [
            "io_bytes_total  0@30001 5@40000<30000",
            "io_bytes_total  6@40000<10000",
            "target_info 1 1@40000",
            "io_bytes_total  stale@40000"
        ]
    );
}

/// What a step does to the series of one label set: its value, or that it ends.
#[derive(Debug, Clone)]
enum Step {
    Grow(u8),
    Restart(u8),
    End,
    Absent,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<u8>().prop_map(Step::Grow),
        1 => any::<u8>().prop_map(Step::Restart),
        1 => Just(Step::End),
        1 => Just(Step::Absent),
    ]
}

proptest! {
    /// Scenario: any lives of eight counters and histograms, each batch cut at any place, any request lost for good, lost
    /// but perhaps stored, or acknowledged.
    /// Guarantees: every series once per batch however it is cut; timestamps ascend strictly in what may have been stored;
    /// with nothing lost, what a database counts between its samples is what was measured.
    #[test]
    fn samples_add_up_in_order(
        batches in proptest::collection::vec((proptest::collection::vec(step(), 8), 0_usize..9, 0_u8..6), 1..12),
        lossless in any::<bool>(),
        native in any::<bool>(),
    ) {
        const DIRECTIONS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];
        let mut streams = if native { self::native() } else { streams() };
        let mut model: [Option<(u64, i64)>; 8] = [None; 8];
        let mut measured = [0_i64; 8];
        let mut stored: FxHashMap<String, Vec<(i64, f64)>> = FxHashMap::default();
        for (index, (steps, cut, fate)) in batches.into_iter().enumerate() {
            let second = 10 * (index as u64 + 1);
            let previous = (second - 10) * SECOND;
            let mut points: [Vec<Point>; 2] = [Vec::new(), Vec::new()];
            for (series, step) in steps.into_iter().enumerate() {
                let before = model[series];
                model[series] = match step {
                    Step::Grow(by) => {
                        let (start, value) = before.unwrap_or((previous, 0));
                        measured[series] += i64::from(by);
                        Some((start, value + i64::from(by)))
                    }
                    Step::Restart(by) => {
                        measured[series] += i64::from(by);
                        Some((previous, i64::from(by)))
                    }
                    Step::End | Step::Absent => None,
                };
                let is_sum = series % 2 == 0;
                let value = match model[series] {
                    Some((_, value)) if is_sum => sum(value),
                    Some((_, value)) if native => exponential(&vec![0.05; usize::try_from(value).unwrap()]),
                    Some((_, value)) => histogram([value.unsigned_abs(), 0, 0], 0.0),
                    None if matches!(step, Step::End) => PointValue::NoRecordedValue,
                    None => continue,
                };
                let start = model[series].map_or(previous, |(start, _)| start);
                points[usize::from(!is_sum)].push(point(DIRECTIONS[series], start, value));
            }
            let [sums, histograms] = points;
            let metrics = [(&IO, sums), (&DURATION, histograms)].into_iter().filter(|(_, points)| !points.is_empty());
            let of = of(&resource("1"), metrics.collect());
            if of.metrics.is_empty() {
                continue;
            }
            let batch = batch(second, vec![of]);
            let whole = Slice::whole(batch);
            let cut = cut.min(whole.to);
            let parts = [Slice { to: cut, ..whole.clone() }, Slice { from: cut, ..whole.clone() }];
            let count = streams.lines(&[whole]).len();
            let mut counted = 0;
            for (part, fate) in parts.iter().zip([if lossless { 2 } else { fate }, 2]) {
                let lines = streams.lines(std::slice::from_ref(part));
                counted += lines.len();
                if fate > 0 {
                    streams.sent(fate > 1);
                    for line in lines {
                        let key: Vec<_> = line.labels().map(|(name, value)| format!("{name}={value}")).collect();
                        let samples = line.samples().iter().map(|sample| (sample.at, sample.value));
                        let counts = line.histograms().iter().map(|reading| (reading.at, measured_in(reading)));
                        stored.entry(key.join(",")).or_default().extend(samples.chain(counts));
                    }
                }
            }
            prop_assert_eq!(counted, count);
        }
        for (key, samples) in &stored {
            prop_assert!(samples.windows(2).all(|two| two[0].0 < two[1].0), "{}: {:?}", key, samples);
        }
        if lossless {
            for (series, measured) in measured.into_iter().enumerate() {
                let mine = |key: &&String| {
                    key.contains(&format!("direction={series},"))
                        && (key.contains("io_bytes_total") || key.contains("_count") || key.contains("duration_seconds,"))
                };
                let increase: f64 = stored.iter().filter(|(key, _)| mine(key)).map(|(_, samples)| increase(samples)).sum();
                prop_assert!((increase - measured as f64).abs() < 0.1, "{} {:?}", series, stored);
            }
        }
    }
}

/// What is counted in a native histogram.
fn measured_in(reading: &Reading<'_>) -> f64 {
    match &*reading.value {
        PointValue::Histogram(histogram) => histogram.exponential.as_ref().unwrap().count() as f64,
        _ => f64::NAN,
    }
}

/// As a database counts: what was added between samples, a fall being a reset; markers are no samples.
fn increase(samples: &[(i64, f64)]) -> f64 {
    let values: Vec<f64> = samples.iter().map(|(_, value)| *value).filter(|value| !value.is_nan()).collect();
    values.windows(2).map(|two| if two[1] < two[0] { two[1] } else { two[1] - two[0] }).sum()
}
