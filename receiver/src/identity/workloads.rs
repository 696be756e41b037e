//! Which workload a process belongs to, and the answers of container runtimes.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::cgroup::{CgroupIndex, Mount, Place, procfs};
use super::{Process, ProcessTable, Workload};
use crate::container::{self, Answer, Directory};
use crate::outside::{Outside, Question, Told};

/// How long after the start no answer may only mean that no runtime has been found yet.
const FINDING_NS: u64 = 2_000_000_000;
/// Time between two looks for workloads that nobody needs any more.
const REAP_EVERY_NS: u64 = 30_000_000_000;

/// Every workload that was seen, and the directory that names them.
#[derive(Debug)]
pub struct Workloads {
    proc_root: PathBuf,
    outside: Outside,
    /// Whether there is anything to find out.
    sees: bool,
    index: CgroupIndex,
    /// Whether version 1 hierarchies can know more than version 2's.
    has_v1: bool,
    directory: Directory,
    host: Rc<Workload>,
    by_cgroup: FxHashMap<u64, Rc<Workload>>,
    by_key: FxHashMap<Rc<str>, Rc<Workload>>,
    /// Those that a runtime may still answer for.
    asked: Vec<Rc<Workload>>,
    /// How long an event may wait for a container's names, nanoseconds.
    pub patience_ns: u64,
    finding_until_ns: u64,
    reaped_ns: u64,
}

impl Workloads {
    /// Workloads of the host whose procfs is at `proc_root`, named by `directory`, for whose answers an event waits at most
    /// `patience`.
    pub fn new(proc_root: impl Into<PathBuf>, directory: Directory, patience: Duration, now_ns: u64) -> Self {
        Self::told_by(Outside::Host, proc_root, directory, patience, now_ns)
    }

    /// The same, with what `outside` tells of them.
    pub fn told_by(
        outside: Outside,
        proc_root: impl Into<PathBuf>,
        directory: Directory,
        patience: Duration,
        now_ns: u64,
    ) -> Self {
        let proc_root = proc_root.into();
        let host = Rc::new(Workload::new(Place::default()));
        let may_find = outside.ask(Question::MayFind, || directory.may_find());
        let mount = if outside.is_host() { Mount::find(&proc_root) } else { None };
        Self {
            index: CgroupIndex::new(mount, now_ns),
            has_v1: outside.ask(Question::HasV1, || has_v1(&proc_root)),
            outside,
            proc_root,
            sees: true,
            directory,
            by_cgroup: FxHashMap::default(),
            by_key: FxHashMap::from_iter([(Rc::clone(host.key()), Rc::clone(&host))]),
            host,
            asked: Vec::new(),
            patience_ns: u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX),
            finding_until_ns: if may_find { now_ns.saturating_add(FINDING_NS) } else { 0 },
            reaped_ns: now_ns,
        }
    }

    /// Where nothing but the host is known.
    pub fn none() -> Self {
        Self { sees: false, ..Self::new("/nonexistent", Directory::none(), Duration::ZERO, 0) }
    }

    /// The host outside of any service.
    pub fn host(&self) -> Rc<Workload> {
        Rc::clone(&self.host)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether only the host is known.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// What asking the runtimes came to.
    pub fn asked(&self) -> container::Counted {
        self.directory.counters().snapshot()
    }

    /// The workload of a process whose cgroup has this id. One that is gone and whose cgroup nobody told of has its parent's.
    pub fn of(
        &mut self,
        process: &Process,
        cgroup_id: u64,
        processes: &ProcessTable,
        now_ns: u64,
    ) -> Rc<Workload> {
        if !self.sees {
            return self.host();
        }
        if let Some((of, workload)) = &*process.workload.borrow()
            && *of == cgroup_id
        {
            let workload = Rc::clone(workload);
            self.ask(&workload, now_ns);
            return workload;
        }
        let found = self.find(process, cgroup_id, processes, now_ns);
        let workload = match found {
            Some(workload) => {
                *process.workload.borrow_mut() = Some((cgroup_id, Rc::clone(&workload)));
                workload
            }
            // Not kept: a later walk of the hierarchy may still find it.
            None => self.inherited(process, processes),
        };
        self.ask(&workload, now_ns);
        workload
    }

    /// A cgroup was made. Its container is asked for at once: it may be gone before it connects to anything.
    pub fn made(&mut self, id: u64, path: &str, now_ns: u64) {
        self.index.learn(id, path);
        let place = Place::of(path);
        if !place.is_host() {
            let workload = self.workload(place);
            self.ask(&workload, now_ns);
            self.by_cgroup.insert(id, workload);
        }
    }

    /// A cgroup was removed. Its connections may not be over.
    pub fn removed(&mut self, id: u64, now_ns: u64) {
        self.index.removed(id, now_ns);
    }

    /// Takes the answers that have come: the workloads of which something else is known now.
    pub fn refresh(&mut self, now_ns: u64) -> Vec<Rc<Workload>> {
        let news = self.outside.ask(Question::News, || self.directory.drain());
        let told = news.iter().filter_map(|id| self.by_key.get(&*format!("c:{id}")));
        let mut due: Vec<_> = told.map(Rc::clone).collect();
        due.append(&mut self.asked);
        due.into_iter().filter(|workload| self.renew(workload, now_ns)).collect()
    }

    /// Forgets workloads whose cgroups are gone and that nobody holds.
    pub fn reap(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.reaped_ns) < REAP_EVERY_NS {
            return;
        }
        self.reaped_ns = now_ns;
        self.index.reap(now_ns);
        let index = &self.index;
        self.by_cgroup.retain(|id, _| index.knows(*id));
        self.by_key.retain(|_, workload| Rc::strong_count(workload) > 1);
    }

    fn find(
        &mut self,
        process: &Process,
        cgroup_id: u64,
        processes: &ProcessTable,
        now_ns: u64,
    ) -> Option<Rc<Workload>> {
        let by_id = self.by_id(cgroup_id, now_ns);
        let is_enough = |workload: &Rc<Workload>| !self.has_v1 || !workload.is_host();
        if let Some(workload) = by_id.clone().filter(is_enough) {
            return Some(workload);
        }
        if processes.is_there(process)
            && let Some(place) =
                self.outside.ask(Question::Place(process.pid), || procfs::place(&self.proc_root, process.pid))
        {
            let by_proc = self.workload(place);
            // Version 2's word on services is as good as version 1's.
            return Some(if by_proc.key().is_empty() { by_id.unwrap_or(by_proc) } else { by_proc });
        }
        // It is gone: version 1 may have known more.
        by_id.map(|host| {
            let parents = self.inherited(process, processes);
            if parents.is_host() { host } else { parents }
        })
    }

    fn by_id(&mut self, cgroup_id: u64, now_ns: u64) -> Option<Rc<Workload>> {
        if let Some(known) = self.by_cgroup.get(&cgroup_id) {
            return Some(Rc::clone(known));
        }
        let resolve = || self.index.resolve(cgroup_id, now_ns).map(|path| path.to_string());
        let path = self.outside.ask(Question::Cgroup(cgroup_id), resolve)?;
        let workload = self.workload(Place::of(&path));
        self.by_cgroup.insert(cgroup_id, Rc::clone(&workload));
        Some(workload)
    }

    /// The parent's workload, else the host.
    fn inherited(&self, process: &Process, processes: &ProcessTable) -> Rc<Workload> {
        let parent = processes.current(process.parent_pid);
        let of_parent = parent.and_then(|parent| Some(Rc::clone(&parent.workload.borrow().as_ref()?.1)));
        of_parent.unwrap_or_else(|| self.host())
    }

    fn workload(&mut self, place: Place) -> Rc<Workload> {
        let workload = Workload::new(place);
        if let Some(known) = self.by_key.get(workload.key()) {
            return Rc::clone(known);
        }
        let workload = Rc::new(workload);
        self.by_key.insert(Rc::clone(workload.key()), Rc::clone(&workload));
        workload
    }

    /// Asks for what has no names yet. The directory remembers what it could not find, and asks again only now and then.
    fn ask(&mut self, workload: &Rc<Workload>, now_ns: u64) {
        if workload.is_unnamed() && !workload.is_asked() {
            self.renew(workload, now_ns);
        }
    }

    /// `true` if something else is known now.
    fn renew(&mut self, workload: &Rc<Workload>, now_ns: u64) -> bool {
        let Some(id) = workload.id() else {
            return false;
        };
        let ask = || Told::from(self.directory.ask(id));
        let answer = Answer::from(self.outside.ask(Question::Container(id.as_str()), ask));
        let may_come = match answer {
            Answer::Pending => true,
            Answer::Absent | Answer::Unavailable => now_ns < self.finding_until_ns,
            Answer::Known(_) => false,
        };
        if may_come {
            workload.ask();
            self.asked.push(Rc::clone(workload));
            return false;
        }
        let details = if let Answer::Known(details) = answer { Some(details) } else { None };
        workload.answered(details)
    }
}

/// Whether there are hierarchies of version 1: a line each beside version 2's.
fn has_v1(proc_root: &std::path::Path) -> bool {
    let text = std::fs::read_to_string(proc_root.join("1/cgroup")).unwrap_or_default();
    text.lines().any(|line| !line.starts_with("0::"))
}

#[cfg(test)]
mod tests;
