//! The runner: groups of scenarios, each group under a convis of its own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::compare::{Claims, compare, missing};
use super::expect::Expected;
use super::plan::Plan;
use super::stage::{Lacking, Played, Stage};
use super::watch::{Said, Watch};
use super::{bytes, endings, failures, flood, mix, mptcp, owners, preexisting, quality, updated};
use crate::clock::poll;

/// Far beyond what an event takes from the kernel to a sink.
const EVENT_PATIENCE: Duration = Duration::from_secs(20);
/// What should not be there gets this long to come.
const REST: Duration = Duration::from_millis(300);
/// More differences than these are only counted.
const SHOWN: usize = 6;
/// Plays one group and prints a line for each scenario; for the runner's own use.
pub(super) const GROUP: &str = "group";

/// What comes after convis has started.
pub(super) type Rest = Box<dyn FnOnce(&mut Stage) -> Played>;

/// One named scenario.
#[derive(Clone, Copy)]
pub(super) struct Scenario {
    name: &'static str,
    play: Play,
}

#[derive(Clone, Copy)]
enum Play {
    During(fn(&mut Stage) -> Played),
    Spanning(fn(&mut Stage) -> Result<Rest, Lacking>),
}

impl Scenario {
    /// One that plays while convis captures.
    pub(super) const fn during(name: &'static str, play: fn(&mut Stage) -> Played) -> Self {
        Self { name, play: Play::During(play) }
    }

    /// One that begins before convis.
    pub(super) const fn spanning(name: &'static str, play: fn(&mut Stage) -> Result<Rest, Lacking>) -> Self {
        Self { name, play: Play::Spanning(play) }
    }
}

struct Group {
    name: &'static str,
    scenarios: &'static [Scenario],
    arguments: &'static [&'static str],
}

impl Group {
    /// Floods take long, and are about what every plan shares, but for accepts that may be missed.
    fn is_for(&self, plan: Plan) -> bool {
        match self.name {
            "flood" => plan == Plan::Auto || plan == Plan::Tracepoint && plan.may_miss_accepts(),
            "flood.small_ring" => plan == Plan::Auto,
            _ => true,
        }
    }
}

const GROUPS: &[Group] = &[
    Group { name: "mix", scenarios: mix::ALL, arguments: &[] },
    Group { name: "endings", scenarios: endings::ALL, arguments: &[] },
    Group { name: "failures", scenarios: failures::ALL, arguments: &[] },
    Group { name: "owners", scenarios: owners::ALL, arguments: &[] },
    Group { name: "bytes", scenarios: bytes::ALL, arguments: &[] },
    Group { name: "preexisting", scenarios: preexisting::ALL, arguments: &[] },
    Group { name: "updated", scenarios: updated::ALL, arguments: updated::ARGUMENTS },
    Group { name: "quality", scenarios: quality::ALL, arguments: &[] },
    Group { name: "mptcp", scenarios: mptcp::ALL, arguments: &[] },
    Group { name: "flood", scenarios: flood::ALL, arguments: &[] },
    Group { name: "flood.small_ring", scenarios: flood::ALL_SMALL, arguments: flood::SMALL_RING },
];

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The convis under test.
    pub convis: PathBuf,
    /// Its probe plan.
    pub plan: Plan,
    /// What makes two runs the same.
    pub seed: u64,
    /// Connections of the mix; a flood has ten times as many.
    pub connections: usize,
    /// Groups or scenarios; all when empty.
    pub only: Vec<String>,
}

impl Options {
    fn wants(&self, scenario: &str) -> bool {
        let fits = |only: &String| {
            scenario.strip_prefix(only.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.only.is_empty() || self.only.iter().any(fits)
    }

    fn to_words(&self, group: &str) -> Vec<String> {
        let only = if self.only.is_empty() { group.to_owned() } else { self.only.join(",") };
        let plan = self.plan.argument().unwrap_or("auto").to_owned();
        let convis = self.convis.display().to_string();
        let (seed, connections) = (self.seed.to_string(), self.connections.to_string());
        let pairs = [
            ("--convis", convis),
            ("--probes", plan),
            ("--seed", seed),
            ("--connections", connections),
            ("--only", only),
        ];
        pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }
}

/// How many scenarios came out how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Without a difference.
    pub passed: usize,
    /// With one.
    pub failed: usize,
    /// Not played.
    pub skipped: usize,
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|group| group.scenarios).map(|scenario| scenario.name)
}

/// Plays what is asked for, each group in a process of its own, and prints what came out.
pub fn run(options: &Options, out: &mut dyn Write) -> std::io::Result<Tally> {
    let mut tally = Tally::default();
    for group in GROUPS {
        if options.only.is_empty() && !group.is_for(options.plan) {
            continue;
        }
        let wanted: Vec<&str> =
            group.scenarios.iter().map(|scenario| scenario.name).filter(|name| options.wants(name)).collect();
        if !wanted.is_empty() {
            run_group(options, group.name, &wanted, &mut tally, out)?;
        }
    }
    let Tally { passed, failed, skipped } = tally;
    writeln!(out, "scenario: {passed} passed, {failed} failed, {skipped} skipped")?;
    Ok(tally)
}

/// A group that dies takes only its own scenarios with it.
fn run_group(
    options: &Options,
    group: &str,
    wanted: &[&str],
    tally: &mut Tally,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(GROUP).arg(group).args(options.to_words(group)).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut told = BTreeSet::new();
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let line = line?;
        let mut words = line.split([' ', ':']);
        match words.next() {
            Some("ok") => tally.passed += 1,
            Some("FAILED") => tally.failed += 1,
            Some("skipped") => tally.skipped += 1,
            _ => {}
        }
        told.extend(words.next().map(str::to_owned));
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    let status = child.wait()?;
    let untold: Vec<&str> = wanted.iter().copied().filter(|name| !told.contains(*name)).collect();
    if wanted.len() > 1 && !untold.is_empty() {
        // One of them took the others with it; alone, each tells its own.
        return untold.iter().try_for_each(|name| {
            let alone = Options { only: vec![(*name).to_owned()], ..options.clone() };
            run_group(&alone, group, &[*name], tally, out)
        });
    }
    for name in untold {
        tally.failed += 1;
        writeln!(out, "FAILED {name}: its group ended early, {status} (seed {})", options.seed)?;
    }
    Ok(())
}

/// One group, in this process.
pub(super) fn play_group(name: &str, options: &Options, out: &mut dyn Write) -> Result<(), String> {
    let group = GROUPS.iter().find(|group| group.name == name).ok_or_else(|| format!("no group {name}"))?;
    let mut parts: Vec<Part> = group
        .scenarios
        .iter()
        .filter(|scenario| options.wants(scenario.name))
        .map(|scenario| Part::begin(*scenario, options))
        .collect();
    let events = match Watch::start(&options.convis, options.plan, group.arguments) {
        Ok(watch) => play_parts(&mut parts, watch),
        Err(error) => Err(error),
    };
    for line in tell(&mut parts, events, options.seed) {
        writeln!(out, "{line}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn play_parts(parts: &mut [Part], mut watch: Watch) -> Result<Said, String> {
    for part in &mut *parts {
        part.play();
    }
    let expected: Vec<Expected> = parts
        .iter()
        .filter(|part| part.outcome.is_ok())
        .flat_map(|part| part.stage.expected.clone())
        .collect();
    // What does not come is told by the comparison.
    poll(EVENT_PATIENCE, || (missing(&expected, watch.events()) == 0).then_some(()));
    std::thread::sleep(REST);
    watch.stop()
}

/// One scenario while it plays.
struct Part {
    stage: Stage,
    rest: Option<Rest>,
    outcome: Result<(), Ended>,
}

/// Why a scenario did not come to its end.
enum Ended {
    Skipped(String),
    Died(String),
}

impl Part {
    fn begin(scenario: Scenario, options: &Options) -> Self {
        let mut stage = Stage::new(scenario.name, options.plan, options.seed, options.connections);
        let begun = match scenario.play {
            Play::During(play) => Ok(Box::new(play) as Rest),
            Play::Spanning(play) => guarded(|| play(&mut stage)),
        };
        match begun {
            Ok(rest) => Self { stage, rest: Some(rest), outcome: Ok(()) },
            Err(ended) => Self { stage, rest: None, outcome: Err(ended) },
        }
    }

    fn play(&mut self) {
        if let Some(rest) = self.rest.take() {
            let stage = &mut self.stage;
            self.outcome = guarded(|| rest(stage));
        }
    }
}

fn guarded<T>(play: impl FnOnce() -> Result<T, Lacking>) -> Result<T, Ended> {
    match catch_unwind(AssertUnwindSafe(play)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Lacking(reason))) => Err(Ended::Skipped(reason)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Ended::Died(text.unwrap_or_else(|| "the scenario itself failed".to_owned())))
        }
    }
}

impl Claims {
    fn of_this_process() -> Self {
        let network = std::fs::metadata("/proc/self/ns/net").map_or(0, |space| space.ino());
        let executable = std::fs::read_link("/proc/self/exe").unwrap_or_default();
        let executable = executable.to_string_lossy().into_owned();
        Self { shared_network: network, executable, ..Self::default() }
    }
}

fn tell(parts: &mut [Part], said: Result<Said, String>, seed: u64) -> Vec<String> {
    let (mut expected, mut claims) = (Vec::new(), Claims::of_this_process());
    for part in parts.iter_mut().filter(|part| part.outcome.is_ok()) {
        let place = expected.len();
        for mut end in std::mem::take(&mut part.stage.expected) {
            end.move_twin(place);
            expected.push(end);
        }
        claims.ports.append(&mut part.stage.claims.ports);
        claims.pids.append(&mut part.stage.claims.pids);
    }
    let unseen = said.as_ref().map_or(String::new(), |said| said.unseen.clone());
    let outcome = said.map(|said| compare(&expected, &said.events, &claims, said.skipped));
    parts
        .iter()
        .map(|part| {
            let name = &part.stage.scenario;
            let fault = match (&part.outcome, &outcome) {
                (Err(Ended::Skipped(reason)), _) => return format!("skipped {name}: {}", one_line(reason)),
                (Err(Ended::Died(panic)), _) => panic.clone(),
                (Ok(()), Err(error)) => error.clone(),
                (Ok(()), Ok(outcome)) => {
                    let own = outcome.differences.iter().filter(|difference| difference.scenario == *name);
                    let all: Vec<&str> = own.map(|difference| difference.what.as_str()).collect();
                    if all.is_empty() {
                        let ends = expected.iter().filter(|end| end.scenario == *name);
                        let missed =
                            outcome.accepts_missed.iter().filter(|scenario| *scenario == name).count();
                        return format!("ok {name} ({}{})", connections(ends), of_missed(missed));
                    }
                    format!("{}; convis counts {unseen}", summary(&all))
                }
            };
            format!("FAILED {name}: {} (seed {seed})", one_line(&fault))
        })
        .collect()
}

/// Each connection has one client's end, told or not told; a server's end alone has its client elsewhere.
fn connections<'a>(ends: impl Iterator<Item = &'a Expected>) -> String {
    let is_one = |end: &&Expected| end.local.is_none() || end.side == crate::truth::Side::Client;
    format!("{} connections", ends.filter(is_one).count())
}

fn of_missed(accepts: usize) -> String {
    if accepts == 0 { String::new() } else { format!(", {accepts} accepts were missed, and counted") }
}

fn summary(differences: &[&str]) -> String {
    let more = differences.len().saturating_sub(SHOWN);
    let mut shown = differences[..differences.len() - more].join("; ");
    if more > 0 {
        shown = format!("{shown}; and {more} more");
    }
    shown
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
