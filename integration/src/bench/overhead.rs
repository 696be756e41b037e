//! A loop of connections on loopback with nothing attached, with convis, and with its peers, in turn.

use std::thread::sleep;
use std::time::Duration;

use super::agent::{ALL_EVENTS, Agent, Events};
use super::figure::Table;
use super::load::timed_connections;
use super::peers::Peer;
use super::sink::{Look, Sink};
use super::statistics::median;
use super::{Size, progress};
use crate::namespace::Namespace;

const NOTHING: &str = "nothing attached";
const TIME: &str = "µs per connection";
const RATIO: &str = "times nothing attached";
const COST: &str = "cost, µs";
const AGAINST: &str = "cost, times tcplife's";
const OWN: &str = "own CPU, µs per connection";
const TOLD: &str = "told, %";
/// What a tool still has to print when the loop ends.
const PRINTED: Duration = Duration::from_millis(500);
/// Events of a connection whose two ends are on this host.
const EVENTS: usize = 4;

/// What is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// Every event over OTLP.
    Events,
    /// Metrics alone.
    Metrics,
    Peer(Peer),
}

const MODES: [Mode; 5] = [
    Mode::Events,
    Mode::Metrics,
    Mode::Peer(Peer::Tcplife),
    Mode::Peer(Peer::Bpftrace),
    Mode::Peer(Peer::Conntrack),
];

/// One loop in one mode.
struct Looped {
    /// The time it took.
    took: Duration,
    /// Processor time of the tool's own process.
    own: Duration,
    /// How much of it was told.
    told: Option<f64>,
}

/// The same between two loops with nothing attached.
struct Turn {
    /// Of a connection with nothing attached, the mean of before and after.
    nothing: f64,
    /// Of a connection, in the loop.
    micros: f64,
    /// Of a connection, in the tool's own process.
    own_micros: f64,
    /// How much of it was told.
    told: Option<f64>,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Events => "convis, every event over OTLP",
            Self::Metrics => "convis, metrics alone",
            Self::Peer(peer) => peer.name(),
        }
    }
}

pub(super) fn measure(size: Size) -> Table {
    let (rounds, count) = size.pick((20, 8000), (2, 3000));
    let namespace = Namespace::new().expect("root makes network namespaces");
    let sink = Sink::start(Look::Outside);
    let mut turns: Vec<Result<Vec<Turn>, String>> = MODES.iter().map(|_| Ok(Vec::new())).collect();
    namespace.within(|| timed_connections(count));
    for round in 0..rounds {
        progress(&format!("overhead, round {} of {rounds}", round + 1));
        for index in 0..MODES.len() {
            // Nobody always comes after the same one.
            let index = (index + round) % MODES.len();
            let slot = &mut turns[index];
            if let Ok(done) = slot {
                match turn(MODES[index], &namespace, &sink, count) {
                    Ok(turn) => done.push(turn),
                    Err(lacking) => *slot = Err(lacking),
                }
            }
        }
    }
    table(&turns)
}

/// The speed of a machine may change within seconds, so each loop has its own yardsticks right beside it.
fn turn(mode: Mode, namespace: &Namespace, sink: &Sink, count: usize) -> Result<Turn, String> {
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let nothing = || micros(namespace.within(|| timed_connections(count)).0);
    let before = nothing();
    let looped = looped(mode, namespace, sink, count)?;
    Ok(Turn {
        nothing: f64::midpoint(before, nothing()),
        micros: micros(looped.took),
        own_micros: micros(looped.own),
        told: looped.told,
    })
}

fn looped(mode: Mode, namespace: &Namespace, sink: &Sink, count: usize) -> Result<Looped, String> {
    let run = || namespace.within(|| timed_connections(count));
    let keys = match mode {
        Mode::Peer(peer) => {
            let running = peer.start(namespace)?;
            let before = running.watched().ran();
            let (took, port) = run();
            sleep(PRINTED);
            let own = running.watched().ran().saturating_sub(before);
            let told = running.told(port, count);
            if told == 0.0 {
                return Err("it runs here and tells nothing".to_owned());
            }
            return Ok(Looped { took, own, told: Some(told) });
        }
        Mode::Events => "",
        Mode::Metrics => ",signals=metrics",
    };
    let agent = Agent::start(sink, keys, &ALL_EVENTS);
    let before = agent.watched().ran();
    let (took, _) = run();
    let ledger = agent.settle(2 * count);
    let own = agent.watched().ran().saturating_sub(before);
    let told = (mode == Mode::Events).then(|| Events::of(&ledger).sent / (EVENTS * count) as f64);
    agent.stop();
    Ok(Looped { took, own, told })
}

fn table(turns: &[Result<Vec<Turn>, String>]) -> Table {
    let mut table = Table::default();
    let done = || turns.iter().flatten();
    table.put(NOTHING, TIME, done().flatten().map(|turn| turn.nothing).collect());
    let costs = |turns: &[Turn]| turns.iter().map(|turn| turn.micros - turn.nothing).collect::<Vec<_>>();
    // The ratio of medians: single differences of a noisy round may be next to nothing.
    let tcplife = MODES.iter().zip(turns).find(|(mode, _)| **mode == Mode::Peer(Peer::Tcplife));
    let yardstick = tcplife.and_then(|(_, turns)| median(&costs(turns.as_ref().ok()?)));
    for (mode, turns) in MODES.iter().zip(turns) {
        let name = mode.name();
        let turns = match turns {
            Ok(turns) => turns,
            Err(lacking) => {
                table.say(name, TIME, format!("not run: {lacking}"));
                continue;
            }
        };
        table.put(name, TIME, turns.iter().map(|turn| turn.micros).collect());
        table.put(name, RATIO, turns.iter().map(|turn| turn.micros / turn.nothing).collect());
        let costs = costs(turns);
        if let (Some(cost), Some(yardstick)) = (median(&costs), yardstick.filter(|cost| *cost > 0.0)) {
            table.put(name, AGAINST, vec![cost / yardstick]);
        }
        table.put(name, COST, costs);
        table.put(name, OWN, turns.iter().map(|turn| turn.own_micros).collect());
        table.put(name, TOLD, turns.iter().filter_map(|turn| Some(100.0 * turn.told?)).collect());
    }
    table
}
