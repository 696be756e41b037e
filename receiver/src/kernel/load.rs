//! Loads the programs: layout from BTF first, then maps, then each hook.

use std::io;
use std::os::fd::AsFd as _;

use aya::programs::ProgramError;
use aya::{Btf as KernelTypes, Ebpf, EbpfError, EbpfLoader, Endianness};
use convis_ebpf::btf::{Btf, BtfError, KERNEL_BTF};
use convis_ebpf::layout::FIELDS;
use convis_ebpf::offsets::{self, LayoutError};
use convis_ebpf::wire::flag;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::hooks::{self, Attach, Hook, Probes, What};
use super::iterate::{self, Iterator, Walk};
use super::selftest::{self, Verdict, Verdicts};
use super::source::{Source, SourceError};
use super::{ondemand, preload, tracefs, types};

/// The map of connections.
const LEDGER: &str = "CONNS";
/// Room in it where an end takes memory, about 256 bytes, as its connection opens: 16 bytes for each place.
const ROOM_ON_DEMAND: u32 = 131_072;
/// Room in it where all of that is taken at start: 17 MB.
const ROOM_AT_START: u32 = 65_536;

/// What the kernel side is loaded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the ring: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Ends of connections that the ledger has room for; `None` for as many as its way of taking memory suggests.
    pub max_connections: Option<u32>,
    /// Process whose connections are left out, with both their ends; `None` shows everything.
    pub leave_out: Option<u32>,
    /// Which ways to see things are tried.
    pub probes: Probes,
}

/// What is seen, and how.
#[derive(Debug, Default)]
pub struct Report {
    /// One for each hook.
    pub hooks: Vec<Seen>,
    /// Whether the ledger takes memory for each connection as it opens, rather than for all of them at start.
    pub on_demand: bool,
    /// Connections and listeners that were open at start, or why they could not be found.
    pub already_open: Option<Result<usize, String>>,
    /// Why there are no live totals.
    pub no_live_totals: Option<String>,
}

/// How one thing is seen.
#[derive(Debug)]
pub struct Seen {
    /// What.
    pub what: What,
    /// The way that is used; `None` when there is none.
    pub way: Option<&'static str>,
    /// What the self-test showed of it; `None` where it tests nothing.
    pub verdict: Option<Verdict>,
    /// Better ways, and why they are not used.
    pub passed_over: Vec<(&'static str, String)>,
}

/// Why convis cannot capture here.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel does not describe its types.
    #[error("cannot read {KERNEL_BTF}: {source}; convis needs a kernel with CONFIG_DEBUG_INFO_BTF")]
    NoBtf {
        /// Why.
        source: io::Error,
    },
    /// The description is not understood.
    #[error("cannot read the types in {KERNEL_BTF}: {source}")]
    Btf {
        /// Why.
        source: BtfError,
    },
    /// A structure is not as the programs need it.
    #[error("{source}")]
    Layout {
        /// Which.
        source: LayoutError,
    },
    /// The kernel refused a map or the object.
    #[error("the kernel refused the eBPF object: {}", chain(source))]
    Object {
        /// Why.
        source: Box<EbpfError>,
    },
    /// The kernel refused a program.
    #[error("cannot see {hook} ({program}): {}", chain(source))]
    Attach {
        /// What would not be seen.
        hook: &'static str,
        /// By which way.
        program: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// A hook without any way to see it.
    #[error("there is no way to see {hook} on this kernel")]
    NoAlternative {
        /// What would not be seen.
        hook: &'static str,
    },
    /// A program does not see what it should.
    #[error("cannot see {hook}: {what} in the self-test")]
    SelfTest {
        /// What would not be seen.
        hook: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// The object lacks a part.
    #[error("the eBPF object has no {missing}")]
    BrokenObject {
        /// Which.
        missing: &'static str,
    },
    /// Tracefs is neither there nor mountable.
    #[error(
        "cannot use /sys/kernel/tracing: {source}; mount it: mount -t tracefs tracefs /sys/kernel/tracing"
    )]
    Tracefs {
        /// Why.
        source: io::Error,
    },
    /// The maps cannot be opened.
    #[error("{0}")]
    Source(#[from] SourceError),
}

impl LoadError {
    /// What helps against a refusal for want of permission.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Object { .. } => {
                "kernels before 5.11 also need CAP_SYS_RESOURCE, for the locked memory of the maps; run it with sudo"
            }
            Self::Attach { .. } => {
                "with kernel.perf_event_paranoid above 2, Debian's default, CAP_SYS_ADMIN is needed as well; \
                 run it with sudo"
            }
            _ => "run it with sudo",
        }
    }

    /// The cause alone, where the rest is said elsewhere.
    fn reason(&self) -> String {
        match self {
            Self::Attach { source, .. } => chain(source),
            other => other.to_string(),
        }
    }

    /// Whether the kernel said that the process may not, rather than that it cannot.
    pub fn is_permission(&self) -> bool {
        let error: &dyn std::error::Error = match self {
            Self::NoBtf { source } | Self::Tracefs { source } => source,
            Self::Object { source } => source,
            // The verifier says EACCES for a program that it does not accept.
            Self::Attach { source, .. } if is_verdict(source) => return false,
            Self::Attach { source, .. } => source,
            _ => return false,
        };
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return error.kind() == io::ErrorKind::PermissionDenied;
            }
            cause = error.source();
        }
        false
    }
}

/// Loads and attaches everything; the returned source keeps it attached until it is dropped.
///
/// # Errors
/// The kernel lacks something or refuses something; named in the error.
pub fn load(options: &Options) -> Result<(Source, Report), LoadError> {
    let kernel = Kernel::describe()?;
    raise_memlock();
    let loaded = match load_on(&kernel, options, kernel.on_demand) {
        // What a kernel's types promise, its verifier may still refuse.
        Err(LoadError::Attach { source, .. }) if kernel.on_demand && is_verdict(&source) => {
            load_on(&kernel, options, false)
        }
        loaded => loaded,
    };
    give_back_memory();
    loaded
}

/// The running kernel's description of its types, and what is read from it.
struct Kernel {
    /// See [`types`].
    functions: Vec<u8>,
    layout: [u32; FIELDS],
    /// See [`ondemand`].
    on_demand: bool,
}

impl Kernel {
    fn describe() -> Result<Self, LoadError> {
        let bytes = std::fs::read(KERNEL_BTF).map_err(|source| LoadError::NoBtf { source })?;
        let btf = Btf::parse(&bytes).map_err(|source| LoadError::Btf { source })?;
        let layout = offsets::resolve(&btf).map_err(|source| LoadError::Layout { source })?;
        let walks = [iterate::FILES, iterate::LEDGER].map(|walk| walk.function);
        let names: Vec<_> = hooks::functions().chain(walks).collect();
        Ok(Self { functions: types::functions(&btf, &names), layout, on_demand: ondemand::is_safe(&btf) })
    }
}

/// Those that have more copies where tasks are preempted in the middle of them.
struct Hooks {
    states: &'static Hook,
    processes: &'static Hook,
    accepts: &'static Hook,
}

const ORDINARY: Hooks =
    Hooks { states: &hooks::STATES_TWICE, processes: &hooks::PROCESSES, accepts: &hooks::ACCEPTS };

const PREEMPTIBLE: Hooks = Hooks {
    states: &hooks::STATES_PREEMPTIBLE,
    processes: &hooks::PROCESSES_PREEMPTIBLE,
    accepts: &hooks::ACCEPTS_PREEMPTIBLE,
};

fn load_on(kernel: &Kernel, options: &Options, on_demand: bool) -> Result<(Source, Report), LoadError> {
    let hooks = if has_preemptible_tracepoints() { &PREEMPTIBLE } else { &ORDINARY };
    let states = hooks.states;
    let copies = states.ways.first().map_or(0, |way| way.probes.len() as u64);
    let cpus = aya::util::nr_cpus().ok().and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(1);
    let ebpf = object(options, &kernel.layout, copies, cpus, on_demand)?;
    let mut source = Source::open(ebpf, cpus as usize)?;
    // Not before the loader has let go of its own copy of all types.
    let btf = KernelTypes::parse(&kernel.functions, Endianness::default())
        .map_err(|source| LoadError::Object { source: Box::new(source.into()) })?;
    let starter = Starter { source: &mut source, btf: &btf, layout: &kernel.layout, probes: options.probes };
    let report = Report { on_demand, ..starter.start(hooks)? };
    Ok((source, report))
}

fn object(
    options: &Options,
    layout: &[u32; FIELDS],
    state_copies: u64,
    cpus: u32,
    on_demand: bool,
) -> Result<Ebpf, LoadError> {
    let window = [offsets::window_start(layout)];
    let settings =
        [options.leave_out.map_or(u64::MAX, u64::from), u64::from(options.ring_bytes / 4), state_copies];
    let whole = convis_ebpf::object();
    let changed = on_demand.then(|| ondemand::declared(whole, LEDGER)).flatten();
    let suggested = if on_demand { ROOM_ON_DEMAND } else { ROOM_AT_START };
    EbpfLoader::new()
        .override_global("LAYOUT", layout.as_slice(), true)
        .override_global("WINDOW", window.as_slice(), true)
        .override_global("SETTINGS", settings.as_slice(), true)
        .map_max_entries("RING", options.ring_bytes)
        .map_max_entries(LEDGER, options.max_connections.unwrap_or(suggested))
        .map_max_entries("COUNTERS", cpus)
        .load(changed.as_deref().unwrap_or(whole))
        .map_err(|source| LoadError::Object { source: Box::new(source) })
}

/// Whether the verifier did not accept the program.
fn is_verdict(error: &ProgramError) -> bool {
    matches!(error, ProgramError::LoadError { .. })
}

/// Since Linux 7.0 a task in the middle of a tracepoint's programs can be interrupted by others that hit it.
fn has_preemptible_tracepoints() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 7)
}

/// Attaches hook by hook.
struct Starter<'a> {
    source: &'a mut Source,
    btf: &'a KernelTypes,
    layout: &'a [u32; FIELDS],
    probes: Probes,
}

/// A hook that may have to move on to its next way.
struct Choice {
    hook: &'static Hook,
    next: usize,
    attached: Option<hooks::Attached>,
    seen: Seen,
}

impl Starter<'_> {
    fn start(mut self, hooks: &Hooks) -> Result<Report, LoadError> {
        let Hooks { states, processes, accepts } = *hooks;
        if let Some(programs) = self.source.programs() {
            let hooks = [states, processes, accepts, &hooks::UNSENT, &hooks::CGROUPS];
            preload::load(programs, self.btf, &hooks, self.probes);
        }
        // Before processes, so that a new one's cgroup is told before it.
        let cgroups = self.cgroups()?;
        let mut fixed = vec![self.choose(processes)?];
        let mut accepts = self.choose(accepts)?;
        let mut unsent = self.choose(&hooks::UNSENT).or_else(|error| self.without(&hooks::UNSENT, error))?;
        fixed.push(self.choose(states)?);
        let verdicts = self.tested(&mut accepts, &mut unsent)?;
        if let Verdict::Wrong(what) = verdicts.states {
            return Err(LoadError::SelfTest { hook: What::States.as_str(), what });
        }
        if let Some(states) = fixed.last_mut() {
            states.seen.verdict = Some(verdicts.states);
        }
        let mut report = Report::default();
        for choice in fixed.into_iter().chain([accepts, unsent, cgroups]) {
            if let Some(attached) = choice.attached {
                self.source.keep(attached);
            }
            report.hooks.push(choice.seen);
        }
        report.already_open = Some(self.enter_what_is_open());
        match self.iterator(iterate::LEDGER) {
            Ok(live) => self.source.started(Some(live)),
            Err(why) => {
                report.no_live_totals = Some(why);
                self.source.started(None);
            }
        }
        Ok(report)
    }

    /// Only names depend on cgroups, and user space can walk them: every plan goes without where the kernel has none.
    fn cgroups(&mut self) -> Result<Choice, LoadError> {
        let readable = offsets::require(self.layout, &hooks::CGROUP_MEMBERS);
        let readable = readable.map_err(|source| LoadError::Layout { source });
        let chosen = readable.and_then(|()| self.choose(&hooks::CGROUPS));
        chosen.or_else(|error| self.without(&hooks::CGROUPS, error))
    }

    /// Attaches the first way that the kernel takes.
    fn choose(&mut self, hook: &'static Hook) -> Result<Choice, LoadError> {
        let seen = Seen { what: hook.what, way: None, verdict: None, passed_over: Vec::new() };
        let mut choice = Choice { hook, next: 0, attached: None, seen };
        match self.advance(&mut choice) {
            Ok(()) => Ok(choice),
            Err(error) => Err(error),
        }
    }

    /// What only adds to the picture may be missing: in the automatic plan, or where no plan has another way.
    fn without(&self, hook: &'static Hook, error: LoadError) -> Result<Choice, LoadError> {
        if self.probes != Probes::Auto && hook.ways.iter().any(|way| way.plan.is_some()) {
            return Err(error);
        }
        let passed_over = vec![("every way", error.to_string())];
        let seen = Seen { what: hook.what, way: None, verdict: None, passed_over };
        Ok(Choice { hook, next: hook.ways.len(), attached: None, seen })
    }

    /// Goes on to the next way that the kernel takes.
    fn advance(&mut self, choice: &mut Choice) -> Result<(), LoadError> {
        let what = choice.hook.what;
        let mut refusal = LoadError::NoAlternative { hook: what.as_str() };
        choice.attached = None;
        choice.seen.way = None;
        while let Some(way) = choice.hook.ways.get(choice.next) {
            choice.next += 1;
            if !way.is_of(self.probes) {
                continue;
            }
            match self.attach(what, way) {
                Ok(attached) => {
                    choice.attached = Some(attached);
                    choice.seen.way = Some(way.name);
                    return Ok(());
                }
                Err(error) => {
                    choice.seen.passed_over.push((way.name, error.reason()));
                    refusal = error;
                }
            }
        }
        Err(refusal)
    }

    fn attach(&mut self, what: What, way: &hooks::Way) -> Result<hooks::Attached, LoadError> {
        if way.probes.iter().any(|probe| matches!(probe.attach, Attach::Tracepoint(..))) {
            tracefs::make_available().map_err(|source| LoadError::Tracefs { source })?;
        }
        let programs = self.source.programs().ok_or(LoadError::BrokenObject { missing: "program" })?;
        hooks::attach(programs, self.btf, what, way)
    }

    /// Tests, and moves on hooks that were wrong, until everything is right or there is no other way.
    fn tested(&mut self, accepts: &mut Choice, unsent: &mut Choice) -> Result<Verdicts, LoadError> {
        loop {
            let verdicts = selftest::run(self.source);
            let mut moved = false;
            for (choice, verdict) in [(&mut *accepts, &verdicts.accepts), (&mut *unsent, &verdicts.unsent)] {
                if choice.attached.is_none() {
                    continue;
                }
                choice.seen.verdict = Some(verdict.clone());
                let (Verdict::Wrong(what), Some(way)) = (verdict, choice.seen.way) else {
                    continue;
                };
                choice.seen.passed_over.push((way, format!("self-test: {what}")));
                choice.seen.verdict = None;
                moved |= self.advance(choice).is_ok();
            }
            if !moved {
                return Ok(verdicts);
            }
        }
    }

    /// Enters the connections and listeners that processes hold already, and says how many there are.
    fn enter_what_is_open(&mut self) -> Result<usize, String> {
        let mut walk = self.iterator(iterate::FILES)?;
        walk.run(|_| ()).map_err(|error| error.to_string())?;
        let mut found = 0;
        self.source.sweep(|_, entry| found += usize::from(entry.conn.flags & flag::FOUND != 0));
        Ok(found)
    }

    fn iterator(&mut self, walk: Walk) -> Result<Iterator, String> {
        let btf = self.btf;
        let programs = self.source.programs().ok_or("no programs")?;
        let name = walk.program;
        let walker = programs.program_mut(name).ok_or_else(|| format!("the object has no {name}"))?;
        walk.load(walker, btf).map_err(|error| chain(&error))?;
        let fd = walker.fd().map_err(|error| chain(&error))?.as_fd().try_clone_to_owned();
        let fd = fd.map_err(|error| error.to_string())?;
        let of_ledger = walk == iterate::LEDGER;
        let map =
            of_ledger.then(|| self.source.ledger_fd()).transpose().map_err(|error| error.to_string())?;
        Iterator::new(fd.as_fd(), map).map_err(|error| error.to_string())
    }
}

/// Gives what was freed in many small pieces, such as the kernel's types after loading, back to the system: the allocator
/// would keep it for good.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no dependency offers it")]
    // SAFETY: takes no pointer and only returns free memory to the kernel.
    let _returned = unsafe { libc::malloc_trim(0) };
}

/// Kernels before 5.11 count maps against this limit. Where it cannot be raised, a map that does not fit says so itself.
fn raise_memlock() {
    let unlimited = Rlimit { current: None, maximum: None };
    let _refused = setrlimit(Resource::Memlock, unlimited);
}

/// An error and its causes on one line; the verifier's log is many, so only its last line is kept.
fn chain(error: &dyn std::error::Error) -> String {
    let text = whole_chain(error);
    if text.contains("devices/kprobe/type") {
        return "this kernel has no kprobes (CONFIG_KPROBES, CONFIG_KPROBE_EVENTS)".to_owned();
    }
    text.strip_suffix(". Verifier output:").map_or(text.clone(), str::to_owned)
}

fn whole_chain(error: &dyn std::error::Error) -> String {
    let mut text = last_line(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let line = last_line(&cause.to_string());
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        source = cause.source();
    }
    text
}

/// The first line, and the last that is not the verifier's statistics.
fn last_line(text: &str) -> String {
    const STATISTICS: [&str; 3] = ["processed ", "stack depth ", "verification time "];
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_statistic = |line: &str| STATISTICS.iter().any(|start| line.starts_with(start));
    let mut lines = lines.filter(|line| !is_statistic(line));
    let first = lines.next().unwrap_or_default();
    match lines.next_back() {
        Some(last) => format!("{first} ... {last}"),
        None => first.to_owned(),
    }
}
