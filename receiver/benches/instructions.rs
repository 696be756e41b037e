//! One part of the user-space line, so often, for `scripts/callgrind` to count its instructions: `instructions PART TIMES` prints how many
//! events, or points, one time handles.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "the answer to the script")]

use std::hint::black_box;
use std::sync::Arc;

use convis::cli::Run;
use convis::recording::Player;
use convis::run::{Outcome, Rehearsal};
use convis_exporters::doors::{self, RemoteWrite};
use convis_exporters::model::{EventBatch, MetricBatch};
use convis_exporters::otlp::{encode_logs, encode_logs_json};
use convis_exporters::{Batch as _, Slice};

#[path = "scenes/busy.rs"]
mod busy;
mod scenes;

use busy::{options, replay};

/// Connections of the recording.
const CONNECTIONS: u64 = 4000;
/// Events of a request.
const BATCH: usize = 512;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    // `cargo test --benches` calls it without a part.
    let Some(times) = arguments.next().and_then(|times| times.parse().ok()) else {
        return;
    };
    let recording: Arc<[u8]> = busy::busy(CONNECTIONS).into();
    let options = options();
    let (events, points) = told(&recording, &options);
    let time = events.first().unwrap().time_unix_nanos;
    let batches: Vec<_> = events
        .chunks(BATCH)
        .map(|some| [Slice::whole(Arc::new(EventBatch { events: some.to_vec() }))])
        .collect();
    let mut writer = RemoteWrite::new();
    let mut points = points.into_iter().map(|batch| [Slice::whole(batch)]).cycle();
    let mut handled = events.len();
    for _ in 0..times {
        match part.as_str() {
            "replay" => handled = replay(&recording, &options),
            "otlp" => each(&batches, |slices| encode_logs(slices)),
            "otlp-json" => each(&batches, |slices| encode_logs_json(slices)),
            "newrelic" => each(&batches, |slices| doors::newrelic(slices, time)),
            "json-lines" => each(&batches, |slices| doors::json_lines(slices)),
            "remote-write-1" | "remote-write-2" => {
                let slices = points.next().unwrap();
                handled = slices[0].batch.records();
                drop(black_box(writer.encode(&slices, part.ends_with('2'))));
            }
            other => panic!("no part {other}"),
        }
    }
    println!("{handled}");
}

fn each<T>(batches: &[[Slice<EventBatch>; 1]], encode: impl Fn(&[Slice<EventBatch>; 1]) -> T) {
    for slices in batches {
        drop(black_box(encode(black_box(slices))));
    }
}

/// What comes of the recording.
fn told(
    recording: &Arc<[u8]>,
    options: &Run,
) -> (Vec<convis_exporters::model::Event>, Vec<Arc<MetricBatch>>) {
    let mut rehearsal = Rehearsal::new(Player::of_bytes(Arc::clone(recording)).unwrap(), options).unwrap();
    let (mut all, mut collected) = (Vec::new(), Vec::new());
    while let Some(Outcome { events, points }) = rehearsal.step().unwrap() {
        all.extend(events);
        collected.extend(points);
    }
    (all, collected)
}
