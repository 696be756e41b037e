//! Memory and processor time with processes that each made a connection, and with series: a Resource of metrics per process.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use super::agent::{Agent, until};
use super::figure::Table;
use super::helpers::Helpers;
use super::live::{CPU, RESIDENT, memory, percent};
use super::load::welcome;
use super::sink::{Look, Sink};
use super::{Size, progress};

const INTERVAL: Duration = Duration::from_secs(10);
const SERIES: [&str; 4] = ["--metric-resource", "process", "--interval", "10s"];
/// Made and sent.
pub(super) const PER_POINT: &str = "µs per point";
/// Of a sleeping process, with what the kernel keeps for it; generous.
const KIB_OF_ONE: usize = 700;

pub(super) fn measure(size: Size) -> Table {
    let (steps, intervals) = size.pick(([1000, 10_000], 2), ([50, 200], 1));
    let mut table = Table::default();
    for count in steps {
        progress(&format!("processes, {count}"));
        let row = format!("{count} processes");
        if let Err(lacking) = step(&mut table, count, INTERVAL * intervals) {
            table.say(&row, RESIDENT, format!("not run: {lacking}"));
        }
    }
    table
}

fn step(table: &mut Table, count: usize, window: Duration) -> Result<(), String> {
    enough_memory(count)?;
    let sinks = [Sink::start(Look::Outside), Sink::start(Look::Inside)];
    let usual = Agent::start(&sinks[0], "", &[]);
    let series = Agent::start(&sinks[1], ",compression=none", &SERIES);
    let (to, came) = welcome();
    let one = vec!["once".to_owned(), to.to_string()];
    let sleepers = Helpers::start(&vec![one; count])?;
    until("every process to connect", || came.load(Ordering::Relaxed) >= count);
    for agent in [&usual, &series] {
        agent.settle(2 * count);
    }
    sleep(INTERVAL);
    let ran = || (usual.watched().ran(), series.watched().ran(), sinks[1].received().metrics);
    let began = ran();
    sleep(window);
    let ended = ran();
    let row = format!("{count} processes");
    memory(table, &row, &usual);
    table.put(&row, CPU, vec![percent(ended.0.saturating_sub(began.0), window)]);
    let intervals = window.as_secs_f64() / INTERVAL.as_secs_f64();
    let points = (ended.2.items - began.2.items) as f64 / intervals;
    let bytes = (ended.2.bytes - began.2.bytes) as f64 / intervals;
    let took = ended.1.saturating_sub(began.1).as_secs_f64() * 1e6 / intervals;
    let row = format!("{count} processes, a Resource each");
    memory(table, &row, &series);
    table.put(&row, "points per interval", vec![points]);
    table.put(&row, "ms per interval", vec![took / 1e3]);
    table.put(&row, PER_POINT, vec![took / points]);
    table.put(&row, "bytes per point", vec![bytes / points]);
    [usual, series].into_iter().for_each(Agent::stop);
    drop(sleepers);
    Ok(())
}

fn enough_memory(count: usize) -> Result<(), String> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    if kib.is_some_and(|kib| kib > count * KIB_OF_ONE) {
        Ok(())
    } else {
        Err(format!("less than {} MiB of memory are free", count * KIB_OF_ONE / 1024))
    }
}
