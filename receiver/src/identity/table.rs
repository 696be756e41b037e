//! The cache of processes: filled by exec, fork and exit records, completed from `/proc`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

use convis_ebpf::record;
use convis_ebpf::wire::Owner;
use rustc_hash::FxHashMap;

use super::process::{Image, Process, Seen, TICK_NS};
use super::procfs;
use crate::outside::{Outside, Question};

/// How long a process that ended stays, for records of it that are still on their way.
const GRACE_NS: u64 = 5_000_000_000;
/// Images that a process ran before and may still own connections of.
const EARLIER_IMAGES: usize = 4;

/// Every process that lives or may still be asked for.
#[derive(Debug)]
pub struct ProcessTable {
    root: PathBuf,
    outside: Outside,
    by_pid: FxHashMap<u32, Slot>,
    /// Ended processes in the order of their ends: when, which pid, which start.
    ended: VecDeque<(u64, u32, u64)>,
}

#[derive(Debug)]
struct Slot {
    current: Rc<Process>,
    earlier: VecDeque<Rc<Process>>,
}

impl ProcessTable {
    /// An empty cache that completes itself from the procfs at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            outside: Outside::Host,
            by_pid: FxHashMap::default(),
            ended: VecDeque::new(),
        }
    }

    /// The same cache, completed by `outside`.
    #[must_use]
    pub fn told_by(mut self, outside: Outside) -> Self {
        self.outside = outside;
        self
    }

    /// Adds every process there is. Call it once the programs are attached, so that none is missed in between.
    ///
    /// # Errors
    /// The root is no procfs.
    pub fn scan(&mut self) -> ::procfs::ProcResult<()> {
        let mut outcome = Ok(());
        let processes = self.outside.ask(Question::Processes, || match procfs::all(&self.root) {
            Ok(found) => Some(found.iter().map(Seen::from).collect::<Vec<_>>()),
            Err(error) => {
                outcome = Err(error);
                None
            }
        });
        for process in processes.unwrap_or_default() {
            self.insert(process.into());
        }
        outcome
    }

    /// Number of processes held.
    pub fn len(&self) -> usize {
        self.by_pid.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }

    /// A process runs a new image.
    pub fn executed(&mut self, exec: &record::Image) {
        let image = Image { name: exec.name.clone(), path: exec.path.clone(), command: exec.command.clone() };
        let image = if image.path.is_some() { image } else { self.completed(&exec.owner, image) };
        self.insert_owner(&exec.owner, exec.parent_tgid, Rc::new(image));
    }

    /// A new process has its parent's image.
    pub fn forked(&mut self, child: &Owner, parent: &Owner, parent_tgid: u32) {
        let image = Rc::clone(&self.find(parent).image);
        self.insert_owner(child, parent_tgid, image);
    }

    /// A process ended; `now_ns` is when, by the clock of all records.
    pub fn exited(&mut self, owner: &Owner, now_ns: u64) {
        self.ended.push_back((now_ns, owner.tgid, owner.start_ns / TICK_NS));
    }

    /// Forgets what ended long enough ago.
    pub fn reap(&mut self, now_ns: u64) {
        while let Some(&(ended_ns, pid, start_ticks)) = self.ended.front()
            && ended_ns + GRACE_NS <= now_ns
        {
            self.ended.pop_front();
            if self.by_pid.get(&pid).is_some_and(|slot| slot.current.start_ticks == start_ticks) {
                self.by_pid.remove(&pid);
            }
        }
    }

    /// The process behind `owner`. One that no record told of and that is gone has only its pid.
    pub fn find(&mut self, owner: &Owner) -> Rc<Process> {
        if let Some(known) = self.known(owner) {
            return known;
        }
        match self.look_up(owner.tgid).filter(|process| process.started_as(owner)) {
            Some(found) => {
                let found = self.with_parents_image(found, owner);
                found.exec_seq.set(Some(owner.exec_seq));
                self.insert(found)
            }
            None => self.insert_owner(owner, 0, Rc::default()),
        }
    }

    /// A process that is just ending has no executable in `/proc` any more. If it never ran another image than its parent, which
    /// the count of its execs and its name show, it has the parent's.
    fn with_parents_image(&self, mut found: Process, owner: &Owner) -> Process {
        let Some(parent) = self.by_pid.get(&found.parent_pid).filter(|_| found.image.path.is_none()) else {
            return found;
        };
        let is_its = |process: &&Rc<Process>| {
            let image = &process.image;
            process.exec_seq.get() == Some(owner.exec_seq)
                && image.path.is_some()
                && image.name.starts_with(&found.image.name)
        };
        let image = std::iter::once(&parent.current).chain(&parent.earlier).find(is_its);
        if let Some(image) = image.map(|parent| Rc::clone(&parent.image)) {
            found.image = image;
        }
        found
    }

    /// Name of the executable that the process with this id runs, unless it began after `before_ns`.
    pub fn name_of(&self, pid: u32, before_ns: u64) -> Option<String> {
        let began_in_time = |process: &Process| process.start_ticks <= before_ns / TICK_NS;
        let name = match self.by_pid.get(&pid) {
            Some(slot) => began_in_time(&slot.current).then(|| slot.current.image.name.clone()),
            None => self.look_up(pid).filter(began_in_time).map(|found| found.image.name.clone()),
        };
        name.filter(|name| !name.is_empty())
    }

    /// Whether the process lives.
    pub(super) fn is_there(&self, process: &Process) -> bool {
        let pid = process.pid;
        let start = self.outside.ask(Question::StartTicks(pid), || procfs::start_ticks(&self.root, pid));
        start == Some(process.start_ticks)
    }

    /// The process that has this id now, or had it last.
    pub(super) fn current(&self, pid: u32) -> Option<&Process> {
        self.by_pid.get(&pid).map(|slot| &*slot.current)
    }

    fn look_up(&self, pid: u32) -> Option<Process> {
        let look = || procfs::one(&self.root, pid).map(|found| Seen::from(&found));
        self.outside.ask(Question::Process(pid), look).map(Process::from)
    }

    fn known(&self, owner: &Owner) -> Option<Rc<Process>> {
        let slot = self.by_pid.get(&owner.tgid)?;
        let current = &slot.current;
        if current.is(owner) {
            return Some(Rc::clone(current));
        }
        // Found in /proc: the kernel's first word on it says which image that was.
        if current.started_as(owner) && current.exec_seq.get().is_none() {
            current.exec_seq.set(Some(owner.exec_seq));
            return Some(Rc::clone(current));
        }
        slot.earlier.iter().find(|process| process.is(owner)).cloned()
    }

    /// The image with the path that `/proc` still has, if it is the same executable.
    fn completed(&self, owner: &Owner, image: Image) -> Image {
        let found = self.look_up(owner.tgid).filter(|process| process.started_as(owner));
        match found {
            Some(process) if process.image.name == image.name => {
                Image { path: process.image.path.clone(), ..image }
            }
            _ => image,
        }
    }

    fn insert_owner(&mut self, owner: &Owner, parent_pid: u32, image: Rc<Image>) -> Rc<Process> {
        let start_ticks = owner.start_ns / TICK_NS;
        let process = Process::new(owner.tgid, parent_pid, start_ticks, Some(owner.exec_seq), image);
        let vpid = if owner.vpid == 0 { self.vpid(owner) } else { Some(owner.vpid) };
        self.insert(process.with_vpid(vpid))
    }

    /// Only a fork tells it; an exec does not change it.
    fn vpid(&self, owner: &Owner) -> Option<u32> {
        let slot = self.by_pid.get(&owner.tgid)?;
        slot.current.vpid.filter(|_| slot.current.started_as(owner))
    }

    /// The newest image becomes the current one; an older one of the same process is kept beside it. A process that another
    /// one has followed under its id is not kept.
    fn insert(&mut self, process: Process) -> Rc<Process> {
        let process = Rc::new(process);
        let new = Slot { current: Rc::clone(&process), earlier: VecDeque::new() };
        let Some(slot) = self.by_pid.get_mut(&process.pid) else {
            self.by_pid.insert(process.pid, new);
            return process;
        };
        if slot.current.start_ticks == process.start_ticks {
            let previous = std::mem::replace(&mut slot.current, Rc::clone(&process));
            slot.earlier.push_front(previous);
            slot.earlier.truncate(EARLIER_IMAGES);
        } else if slot.current.start_ticks < process.start_ticks {
            *slot = new;
        }
        process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(tgid: u32, start_ns: u64, exec_seq: u32) -> Owner {
        Owner { tgid, exec_seq, start_ns, cgroup_id: 1, uid: 0, vpid: 0 }
    }

    fn exec(owner: Owner, name: &str) -> record::Image {
        record::Image {
            owner,
            parent_tgid: 1,
            name: name.into(),
            path: Some(format!("/bin/{name}")),
            command: Some(name.into()),
        }
    }

    fn table() -> ProcessTable {
        ProcessTable::new("/nonexistent")
    }

    /// Scenario: a process runs one image, connects, then runs another.
    /// Guarantees: each connection keeps the image that made it.
    #[test]
    fn an_image_keeps_its_connections() {
        let mut table = table();
        table.executed(&exec(owner(10, 5, 1), "sh"));
        table.executed(&exec(owner(10, 5, 2), "nginx"));
        assert_eq!(table.find(&owner(10, 5, 1)).image.name, "sh");
        assert_eq!(table.find(&owner(10, 5, 2)).image.name, "nginx");
    }

    /// Scenario: a child is forked and connects without exec; then its parent execs.
    /// Guarantees: the child has its parent's image of the fork, and its own pid and parent.
    #[test]
    fn a_child_has_its_parents_image() {
        let mut table = table();
        table.executed(&exec(owner(10, 5, 1), "nginx"));
        table.forked(&owner(11, 50 * TICK_NS, 1), &owner(10, 5, 1), 10);
        table.executed(&exec(owner(10, 5, 2), "other"));
        let child = table.find(&owner(11, 50 * TICK_NS, 1));
        assert_eq!((child.pid, child.parent_pid, child.image.name.as_str()), (11, 10, "nginx"));
    }

    /// Scenario: a pid is used again after its process ended, within the grace of the first.
    /// Guarantees: the new process is not the old one and outlives the old one's removal.
    #[test]
    fn a_reused_pid_is_another_process() {
        let mut table = table();
        table.executed(&exec(owner(10, 0, 1), "old"));
        table.exited(&owner(10, 0, 1), 1_000);
        table.executed(&exec(owner(10, 7 * TICK_NS, 1), "new"));
        table.reap(1_000 + GRACE_NS);
        assert_eq!(table.find(&owner(10, 7 * TICK_NS, 1)).image.name, "new");
        table.exited(&owner(10, 7 * TICK_NS, 1), 2_000);
        table.reap(2_000 + GRACE_NS - 1);
        assert_eq!(table.len(), 1);
        table.reap(2_000 + GRACE_NS);
        assert!(table.is_empty());
    }

    /// Scenario: a process that began before convis, found in /proc, connects.
    /// Guarantees: it is found, and an exec afterwards is told apart.
    #[test]
    fn a_scanned_process_is_adopted() {
        let mut table = table();
        let image = Rc::new(Image { name: "old".into(), ..Image::default() });
        table.insert(Process::new(20, 1, 3, None, image));
        let before = owner(20, 3 * TICK_NS + 17, 9);
        assert_eq!(table.find(&before).image.name, "old");
        table.executed(&exec(owner(20, 3 * TICK_NS + 17, 10), "new"));
        assert_eq!(table.find(&before).image.name, "old");
        assert_eq!(table.find(&owner(20, 3 * TICK_NS + 17, 10)).image.name, "new");
    }

    /// Scenario: a process forks in a pid namespace, and its child runs another image; a process in none.
    /// Guarantees: the child's id inside is known from its fork on, and shown only where it differs.
    #[test]
    fn a_child_keeps_its_inner_id() {
        let mut table = table();
        table.executed(&exec(owner(10, 5, 1), "sh"));
        table.forked(&Owner { vpid: 7, ..owner(11, 50 * TICK_NS, 1) }, &owner(10, 5, 1), 10);
        assert_eq!(table.find(&owner(11, 50 * TICK_NS, 1)).vpid, Some(7));
        table.executed(&exec(owner(11, 50 * TICK_NS, 2), "curl"));
        assert_eq!(table.find(&owner(11, 50 * TICK_NS, 2)).vpid, Some(7));
        table.executed(&exec(owner(11, 90 * TICK_NS, 1), "reuses the id"));
        assert_eq!(table.find(&owner(11, 90 * TICK_NS, 1)).vpid, None);
        table.forked(&Owner { vpid: 12, ..owner(12, 60 * TICK_NS, 1) }, &owner(10, 5, 1), 10);
        assert_eq!(table.find(&owner(12, 60 * TICK_NS, 1)).vpid, None);
    }

    /// Scenario: a process is asked for after another one has its id.
    /// Guarantees: the old one does not take the new one's place; a closing process is not named after it.
    #[test]
    fn a_late_question_replaces_nobody() {
        let mut table = table();
        table.executed(&exec(owner(10, 7 * TICK_NS, 1), "new"));
        assert_eq!(table.find(&owner(10, 2 * TICK_NS, 1)).image.name, "");
        assert_eq!(table.find(&owner(10, 7 * TICK_NS, 1)).image.name, "new");
        assert_eq!(table.name_of(10, 8 * TICK_NS).as_deref(), Some("new"));
        assert_eq!(table.name_of(10, 6 * TICK_NS), None);
        assert_eq!(table.name_of(99, 8 * TICK_NS), None);
    }

    /// Scenario: nobody told of a fork, and `/proc` shows a process that is ending: its name and its parent, no executable. One of
    /// that name has run an image of its own; one's parent is called otherwise.
    /// Guarantees: the parent's executable for the first, none for the others.
    #[test]
    fn an_ending_child_has_its_parents_image() {
        let root = tempfile::tempdir().unwrap();
        let numbers = (5..=52).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        for (pid, name) in [(11, "nginx"), (12, "nginx"), (13, "sh")] {
            std::fs::create_dir(root.path().join(pid.to_string())).unwrap();
            let stat = format!("{pid} ({name}) Z 10 {numbers}\n");
            std::fs::write(root.path().join(format!("{pid}/stat")), stat).unwrap();
        }
        let mut table = ProcessTable::new(root.path());
        table.executed(&exec(owner(10, 5, 1), "nginx"));
        table.executed(&exec(owner(10, 5, 2), "other"));
        let mut path_of = |pid, exec_seq| table.find(&owner(pid, 22 * TICK_NS, exec_seq)).image.path.clone();
        assert_eq!(path_of(11, 1).as_deref(), Some("/bin/nginx"));
        assert_eq!((path_of(12, 3), path_of(13, 1)), (None, None));
    }

    /// Scenario: nobody told of a process and it is gone.
    /// Guarantees: its pid, no invented name.
    #[test]
    fn an_unknown_process_has_its_pid() {
        let found = table().find(&owner(99, 1, 1));
        assert_eq!((found.pid, found.image.name.as_str()), (99, ""));
    }
}
