//! Memory and processor time with connections that live on, all of them on this host: a connection is two ends.

use std::thread::sleep;
use std::time::Duration;

use super::agent::{Agent, until};
use super::figure::Table;
use super::helpers::Helpers;
use super::sink::{Look, Sink};
use super::start::{self, until_ready};
use super::{Size, progress};

/// Open files of a process are limited, and each end is one.
const PAIRS_OF_ONE: usize = 5000;
/// Reads every connection's totals at each interval.
const EVERY_SECOND: [&str; 2] = ["--interval", "1s"];

pub(super) fn measure(size: Size) -> Table {
    let (steps, window) =
        size.pick(([0, 10_000, 50_000], Duration::from_secs(20)), ([0, 1000, 2000], Duration::from_secs(3)));
    let mut table = Table::default();
    let mut empty = 0.0;
    for ends in steps {
        progress(&format!("live, {ends} ends"));
        let row = format!("{ends} live ends");
        match step(&mut table, &row, ends, window) {
            Ok(reading) if ends == 0 => empty = reading,
            Ok(reading) => {
                table.put(&row, PER_END, vec![(reading - empty) * 1e3 / ends as f64]);
            }
            Err(lacking) => table.say(&row, RESIDENT, format!("not run: {lacking}")),
        }
    }
    table
}

pub(super) const PER_END: &str = "µs per end and interval";
pub(super) const RESIDENT: &str = "resident, MiB";
pub(super) const MAPS: &str = "kernel maps, MiB";
pub(super) const TOGETHER: &str = "both, MiB";
pub(super) const CPU: &str = "CPU, %";

/// Milliseconds of one reading of all totals, and what else an interval takes.
fn step(table: &mut Table, row: &str, ends: usize, window: Duration) -> Result<f64, String> {
    let sinks = [Sink::start(Look::Outside), Sink::start(Look::Outside)];
    let usual = Agent::start(&sinks[0], "", &[]);
    let often = Agent::start(&sinks[1], "", &EVERY_SECOND);
    let opened = |agent: &Agent| agent.ledger().kind("opened").delivered;
    let before = [opened(&usual), opened(&often)];
    let held = hold(ends)?;
    for (agent, before) in [(&usual, before[0]), (&often, before[1])] {
        until("every end to be known", || opened(agent) - before >= ends as f64);
    }
    // What the opening left to do is not part of living on.
    sleep(window / 4);
    let agents = [usual, often];
    let ran = || agents.each_ref().map(|agent| agent.watched().ran());
    let began = ran();
    sleep(window);
    let [usual_ran, often_ran] = ran();
    memory(table, row, &agents[0]);
    table.put(row, CPU, vec![percent(usual_ran.saturating_sub(began[0]), window)]);
    let reading = often_ran.saturating_sub(began[1]).as_secs_f64() * 1e3 / window.as_secs_f64();
    table.put(row, "ms per interval", vec![reading]);
    agents.into_iter().for_each(Agent::stop);
    table.put(row, start::COLUMN, (0..3).map(|_| until_ready()).collect());
    drop(held);
    Ok(reading)
}

fn hold(ends: usize) -> Result<Helpers, String> {
    let pairs = ends / 2;
    let full = std::iter::repeat_n(PAIRS_OF_ONE, pairs / PAIRS_OF_ONE);
    let rest = Some(pairs % PAIRS_OF_ONE).filter(|rest| *rest > 0);
    let all: Vec<_> = full.chain(rest).map(|pairs| vec!["hold".to_owned(), pairs.to_string()]).collect();
    Helpers::start(&all)
}

/// Resident memory, that of kernel maps, and the sum.
pub(super) fn memory(table: &mut Table, row: &str, agent: &Agent) {
    let (resident, maps) = (agent.watched().resident(), agent.watched().maps());
    table.put(row, RESIDENT, vec![resident]);
    table.put(row, MAPS, vec![maps]);
    table.put(row, TOGETHER, vec![resident + maps]);
}

/// Of one processor.
pub(super) fn percent(ran: Duration, window: Duration) -> f64 {
    100.0 * ran.as_secs_f64() / window.as_secs_f64()
}
