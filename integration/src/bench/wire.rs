//! What goes over the wire, and what sending costs, at 1,000 connection ends a second: 500 connections of 32 processes to one.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use super::agent::Agent;
use super::figure::Table;
use super::helpers::Helpers;
use super::live::{CPU, percent};
use super::load::welcome;
use super::sink::{Look, Sink};
use super::{Size, progress};

/// What the table on fleets needs, and budgets.
pub(super) const BYTES_PER_END: &str = "bytes per end";
pub(super) const BYTES_PER_INTERVAL: &str = "metrics, bytes per interval";
/// Seconds.
const INTERVAL: f64 = 5.0;
const PROCESSES: usize = 32;
const CONNECTIONS_A_SECOND: usize = 500;

/// Row, keys of the sink, options.
type Variant = (&'static str, &'static str, &'static [&'static str]);

pub(super) const VARIANTS: [Variant; 6] = [
    ("every event, no compression", ",compression=none", &[]),
    ("every event, gzip", ",compression=gzip", &[]),
    ("every event, zstd", ",compression=zstd", &[]),
    ("`--events closed,failed`, zstd", ",compression=zstd", &["--events", "closed,failed"]),
    ("`--sample keep=1/10`, zstd", ",compression=zstd", &["--sample", "keep=1/10"]),
    ("`signals=metrics`, zstd", ",compression=zstd,signals=metrics", &[]),
];

pub(super) fn measure(size: Size) -> Table {
    let window = size.pick(Duration::from_secs(10), Duration::from_secs(5));
    let mut table = Table::default();
    for variant in VARIANTS {
        progress(&format!("wire, {}", variant.0));
        if let Err(lacking) = step(&mut table, variant, window) {
            table.say(variant.0, "events per end", format!("not run: {lacking}"));
        }
    }
    table
}

fn step(table: &mut Table, (row, keys, options): Variant, window: Duration) -> Result<(), String> {
    let (to, came) = welcome();
    let rate = CONNECTIONS_A_SECOND.div_ceil(PROCESSES).to_string();
    let pace = vec!["pace".to_owned(), to.to_string(), rate];
    let sink = Sink::start(Look::Inside);
    let options: Vec<&str> = options.iter().chain(&["--interval", "5s"]).copied().collect();
    let agent = Agent::start(&sink, keys, &options);
    let load = Helpers::start(&vec![pace; PROCESSES])?;
    // Until every process is known.
    sleep(window / 5);
    let now = || (agent.watched().ran(), came.load(Ordering::Relaxed), sink.received().metrics.bytes);
    let began = now();
    sleep(window);
    let ended = now();
    drop(load);
    let ends = 2 * came.load(Ordering::Relaxed);
    agent.settle(ends);
    let events = sink.received().logs;
    table.put(row, "events per end", vec![events.items as f64 / ends as f64]);
    if events.items > 0 {
        table.put(row, "events per request", vec![events.items as f64 / events.requests as f64]);
        table.put(row, "bytes per event", vec![events.bytes as f64 / events.items as f64]);
    }
    table.put(row, BYTES_PER_END, vec![events.bytes as f64 / ends as f64]);
    let intervals = window.as_secs_f64() / INTERVAL;
    table.put(row, BYTES_PER_INTERVAL, vec![(ended.2 - began.2) as f64 / intervals]);
    let thousands = 2.0 * (ended.1 - began.1) as f64 / window.as_secs_f64() / 1000.0;
    let used = percent(ended.0.saturating_sub(began.0), window);
    table.put(row, &format!("{CPU} at 1,000 ends/s"), vec![used / thousands]);
    agent.stop();
    Ok(())
}
