//! What each BPF program of convis costs by the kernel's own statistics, per connection with both ends on this host.

use std::collections::BTreeMap;
use std::time::Duration;

use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

use super::agent::{ALL_EVENTS, Agent};
use super::figure::Table;
use super::load::timed_connections;
use super::sink::{Look, Sink};
use super::{Size, progress};

/// Name, and what it did since it was loaded.
type Ran = BTreeMap<u32, (String, u64, Duration)>;

pub(super) fn measure(size: Size) -> Table {
    let (rounds, count) = size.pick((5, 20_000), (2, 3000));
    let mut table = Table::default();
    // The kernel counts as long as this is open.
    let counting = match enable_stats(Stats::RunTime) {
        Ok(counting) => counting,
        Err(error) => {
            table.say(
                "all",
                "runs per connection",
                format!("not run: no statistics on this kernel: {error}"),
            );
            return table;
        }
    };
    let mut by_name: BTreeMap<String, Vec<[f64; 2]>> = BTreeMap::new();
    let mut sums = Vec::new();
    for round in 0..rounds {
        progress(&format!("programs, round {} of {rounds}", round + 1));
        let rows = round_of(count);
        sums.push(rows.iter().map(|(_, [runs, nanos])| runs * nanos).sum::<f64>());
        for (name, row) in rows {
            by_name.entry(name).or_default().push(row);
        }
    }
    drop(counting);
    for (name, rounds) in by_name {
        table.put(&name, "runs per connection", rounds.iter().map(|[runs, _]| *runs).collect());
        table.put(&name, "ns per run", rounds.iter().map(|[_, nanos]| *nanos).collect());
        table.put(&name, "ns per connection", rounds.iter().map(|[runs, nanos]| runs * nanos).collect());
    }
    table.put("all together", "ns per connection", sums);
    table
}

/// Runs per connection and nanoseconds per run of each program that ran.
fn round_of(count: usize) -> Vec<(String, [f64; 2])> {
    let sink = Sink::start(Look::Outside);
    let agent = Agent::start(&sink, "", &ALL_EVENTS);
    let before = ran(&agent);
    timed_connections(count);
    let after = ran(&agent);
    agent.stop();
    let row = |(id, (name, runs, time)): (u32, (String, u64, Duration))| {
        let (_, runs_before, time_before) = before.get(&id)?;
        let runs = (runs - runs_before) as f64;
        let nanos = time.saturating_sub(*time_before).as_nanos() as f64 / runs;
        // What ran a few times only served something else.
        (runs * 100.0 > count as f64).then_some((name, [runs / count as f64, nanos]))
    };
    after.into_iter().filter_map(row).collect()
}

fn ran(agent: &Agent) -> Ran {
    let held = agent.watched().programs();
    let programs = loaded_programs().flatten().filter(|program| held.contains(&program.id()));
    let name = |program: &aya::programs::ProgramInfo| program.name_as_str().unwrap_or("unnamed").to_owned();
    programs
        .map(|program| (program.id(), (name(&program), program.run_count(), program.run_time())))
        .collect()
}
