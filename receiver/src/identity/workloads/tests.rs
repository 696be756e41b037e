use std::time::Duration;

use convis_ebpf::record::Image;
use convis_ebpf::wire::Owner;
use tempfile::TempDir;

use super::super::process::TICK_NS;
use super::*;
use crate::container::Details;
use crate::container::testing::Feed;

const ID: &str = "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e";
const OTHER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const V1: &str = "9:name=systemd:/init.scope\n4:memory:/init.scope\n";
const HYBRID: &str = "4:memory:/init.scope\n0::/init.scope\n";
const SECOND: u64 = 1_000_000_000;

/// A procfs of the test's own.
struct Host(TempDir);

impl Host {
    /// Whose pid 1 has these cgroups.
    fn new(first: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.run(1, 0, first);
        host
    }

    fn run(&self, pid: u32, start_ticks: u64, cgroup: &str) {
        let process = self.0.path().join(pid.to_string());
        std::fs::create_dir_all(&process).unwrap();
        std::fs::write(process.join("cgroup"), cgroup).unwrap();
        let field = |n: u64| if n == 22 { start_ticks } else { n }.to_string();
        let fields: Vec<_> = (5..=52).map(field).collect();
        std::fs::write(process.join("stat"), format!("{pid} (x) S 1 {}\n", fields.join(" "))).unwrap();
    }

    fn exit(&self, pid: u32) {
        std::fs::remove_dir_all(self.0.path().join(pid.to_string())).unwrap();
    }

    fn workloads(&self, directory: Directory) -> Workloads {
        Workloads::new(self.0.path(), directory, Duration::from_secs(1), 0)
    }

    fn processes(&self) -> ProcessTable {
        ProcessTable::new(self.0.path())
    }
}

fn owner(tgid: u32, start_ticks: u64) -> Owner {
    Owner { tgid, exec_seq: 1, start_ns: start_ticks * TICK_NS, cgroup_id: 0, uid: 0, vpid: 0 }
}

/// A process that the kernel has told of.
fn process(processes: &mut ProcessTable, pid: u32, start_ticks: u64) -> Rc<Process> {
    let owner = owner(pid, start_ticks);
    let path = Some("/bin/x".to_owned());
    processes.executed(&Image { owner, parent_tgid: 1, name: "x".into(), path, command: None });
    processes.find(&owner)
}

fn docker(id: &str) -> String {
    format!("/system.slice/docker-{id}.scope")
}

fn key(workload: &Rc<Workload>) -> &str {
    workload.key()
}

/// A container in cgroup 7 of a version 2 host without a procfs, its workload, and its process.
fn container(directory: Directory, now_ns: u64) -> (Workloads, Rc<Workload>, Rc<Process>, ProcessTable) {
    let mut workloads = Workloads::new("/nonexistent", directory, Duration::from_secs(1), 0);
    let mut processes = ProcessTable::new("/nonexistent");
    let process = process(&mut processes, 10, 5);
    workloads.made(7, &docker(ID), now_ns);
    let workload = workloads.of(&process, 7, &processes, now_ns);
    (workloads, workload, process, processes)
}

fn names(workload: &Workload) -> (Option<String>, u32) {
    let builder = convis_exporters::model::Resource::builder();
    let resource = workload.describe(builder, "exe", false).build();
    (resource.text("container.name").map(str::to_owned), workload.version())
}

fn named(name: &str, version: u32) -> (Option<String>, u32) {
    (Some(name.to_owned()), version)
}

/// Whether an event that comes now would not have to wait.
fn is_settled(workload: &Workload, now_ns: u64) -> bool {
    workload.is_settled(now_ns, u64::MAX)
}

/// Scenario: the kernel tells of a container's cgroup, of one within it and of a service's; processes of each, whose `/proc`
/// is out of reach, connect, the first of them again.
/// Guarantees: the container is asked for at once, and once; the inner cgroup is the same workload; a service is the host's.
#[test]
fn a_cgroup_is_known_by_its_id() {
    let (mut feed, directory) = Feed::new();
    let mut workloads = Workloads::new("/nonexistent", directory, Duration::ZERO, 0);
    workloads.made(7, &docker(ID), 1);
    assert_eq!(feed.asked(), [ID]);
    workloads.made(8, &format!("{}/init.scope/x", docker(ID)), 1);
    workloads.made(9, "/system.slice/ssh.service", 1);
    let mut processes = ProcessTable::new("/nonexistent");
    let [first, inner, service] = [(10, 7), (11, 8), (12, 9)].map(|(pid, cgroup)| {
        let process = process(&mut processes, pid, 5);
        workloads.of(&process, cgroup, &processes, 2)
    });
    assert_eq!(key(&first), format!("c:{ID}"));
    assert!(Rc::ptr_eq(&first, &inner));
    assert_eq!((key(&service), service.is_host()), ("u:ssh.service", true));
    let again = processes.find(&owner(10, 5));
    assert!(Rc::ptr_eq(&first, &workloads.of(&again, 7, &processes, 3)));
    assert!(feed.asked().is_empty());
    workloads.removed(7, 4);
    let late = process(&mut processes, 13, 6);
    assert!(Rc::ptr_eq(&first, &workloads.of(&late, 7, &processes, 5)));
    assert_eq!((workloads.len(), workloads.is_empty()), (3, false));
}

/// Scenario: a process moves from one container's cgroup to another's between two connections.
/// Guarantees: each is of where it was.
#[test]
fn a_process_can_move() {
    let (_feed, directory) = Feed::new();
    let (mut workloads, first, process, processes) = container(directory, 1);
    workloads.made(8, &docker(OTHER), 1);
    let second = workloads.of(&process, 8, &processes, 2);
    assert_eq!([key(&first), key(&second)], [format!("c:{ID}"), format!("c:{OTHER}")]);
    assert!(Rc::ptr_eq(&first, &workloads.of(&process, 7, &processes, 3)));
}

/// Scenario: a version 1 host: a container's process, a service's, one of the host's root.
/// Guarantees: each by the hierarchy that knows.
#[test]
fn a_version_1_host_tells_by_proc() {
    let host = Host::new(V1);
    host.run(10, 5, &format!("9:name=systemd:/docker/{ID}\n4:memory:/docker/{ID}\n0::/\n"));
    host.run(11, 5, "9:name=systemd:/system.slice/ssh.service\n4:memory:/\n");
    host.run(12, 5, "9:name=systemd:/\n4:memory:/\n");
    let (mut feed, directory) = Feed::new();
    let (mut workloads, mut processes) = (host.workloads(directory), host.processes());
    let keys = [10, 11, 12].map(|pid| {
        let process = process(&mut processes, pid, 5);
        key(&workloads.of(&process, 1, &processes, 1)).to_owned()
    });
    assert_eq!(keys, [format!("c:{ID}"), "u:ssh.service".into(), String::new()]);
    assert_eq!(feed.asked(), [ID]);
}

/// Scenario: a hybrid host, whose version 2 hierarchy knows services only: a container of version 1 inside one, a service
/// that version 1 does not know, and one whose version 2 cgroup is a container's.
/// Guarantees: a container wins over a service wherever it is known; else version 2's word counts.
#[test]
fn a_hybrid_host_tells_by_both() {
    let host = Host::new(HYBRID);
    host.run(10, 5, &format!("4:memory:/docker/{ID}\n0::/system.slice/docker.service\n"));
    host.run(11, 5, "4:memory:/\n0::/\n");
    let (_feed, directory) = Feed::new();
    let (mut workloads, mut processes) = (host.workloads(directory), host.processes());
    // Cgroups of services are told of as well.
    workloads.made(7, "/system.slice/docker.service", 1);
    workloads.made(8, &docker(OTHER), 1);
    let [inside, service, outside] = [(10, 7), (11, 7), (12, 8)].map(|(pid, cgroup)| {
        let process = process(&mut processes, pid, 5);
        key(&workloads.of(&process, cgroup, &processes, 1)).to_owned()
    });
    assert_eq!(inside, format!("c:{ID}"));
    assert_eq!(service, "u:docker.service");
    assert_eq!(outside, format!("c:{OTHER}"));
}

/// Scenario: children of a container's process and of a service's, gone before they are looked at, whose cgroup version 2
/// does not tell of, or only as a service's.
/// Guarantees: the parent's container; else what version 2 says; without both the host.
#[test]
fn one_that_is_gone_has_its_parents() {
    let host = Host::new(HYBRID);
    host.run(10, 5, &format!("4:memory:/docker/{ID}\n0::/\n"));
    host.run(20, 5, "4:memory:/\n0::/\n");
    let (_feed, directory) = Feed::new();
    let (mut workloads, mut processes) = (host.workloads(directory), host.processes());
    workloads.made(7, "/system.slice/docker.service", 1);
    for pid in [10, 20] {
        let process = process(&mut processes, pid, 5);
        workloads.of(&process, 99, &processes, 1);
    }
    let mut child = |pid: u32, parent: u32, cgroup| {
        processes.forked(&owner(pid, 6), &owner(parent, 5), parent);
        let child = processes.find(&owner(pid, 6));
        key(&workloads.of(&child, cgroup, &processes, 2)).to_owned()
    };
    assert_eq!(child(11, 10, 98), format!("c:{ID}"));
    assert_eq!(child(12, 10, 7), format!("c:{ID}"));
    assert_eq!(child(21, 20, 7), "u:docker.service");
    assert_eq!(child(22, 20, 98), "");
    assert_eq!(child(32, 31, 98), "", "of a parent that is not known either");
}

/// Scenario: a process that is gone, whose id another one has by now, which runs in a container.
/// Guarantees: the other one's container is not its.
#[test]
fn a_reused_id_is_not_believed() {
    let host = Host::new(V1);
    host.run(10, 900, &format!("4:memory:/docker/{ID}\n"));
    let (mut feed, directory) = Feed::new();
    let (mut workloads, mut processes) = (host.workloads(directory), host.processes());
    let gone = process(&mut processes, 10, 5);
    assert_eq!(key(&workloads.of(&gone, 1, &processes, 1)), "");
    assert!(feed.asked().is_empty());
    let new = process(&mut processes, 10, 900);
    assert_eq!(key(&workloads.of(&new, 1, &processes, 2)), format!("c:{ID}"));
}

/// Scenario: a process connects before anybody tells of its cgroup, then again; one that was found by `/proc` connects when
/// that is gone.
/// Guarantees: not to know is not remembered; to know is.
#[test]
fn only_what_is_known_is_kept() {
    let host = Host::new(V1);
    let (_feed, directory) = Feed::new();
    let (mut workloads, mut processes) = (host.workloads(directory), host.processes());
    let early = process(&mut processes, 10, 5);
    assert_eq!(key(&workloads.of(&early, 7, &processes, 1)), "");
    assert!(early.workload.borrow().is_none());
    workloads.made(7, &docker(ID), 2);
    assert_eq!(key(&workloads.of(&early, 7, &processes, 3)), format!("c:{ID}"));
    host.run(11, 5, &format!("4:memory:/docker/{OTHER}\n"));
    let seen = process(&mut processes, 11, 5);
    let found = workloads.of(&seen, 1, &processes, 4);
    host.exit(11);
    assert!(Rc::ptr_eq(&found, &workloads.of(&seen, 1, &processes, 5)));
    assert_eq!(key(&found), format!("c:{OTHER}"));
}

/// Scenario: a container is asked for, its name comes, is told again, and changes later.
/// Guarantees: events wait until the answer; each change is told once, with another version each; nothing new is none.
#[test]
fn an_answer_is_told_once() {
    let (mut feed, directory) = Feed::new();
    let (mut workloads, container, process, processes) = container(directory, SECOND);
    assert!(container.is_unnamed() && !is_settled(&container, SECOND));
    assert!(workloads.refresh(SECOND).is_empty());
    assert_eq!((names(&container), feed.asked()), ((None, 0), vec![ID.to_owned()]));
    feed.name(ID, "web");
    let told = workloads.refresh(SECOND);
    assert!(told.len() == 1 && Rc::ptr_eq(&told[0], &container));
    assert_eq!(names(&container), named("web", 1));
    assert!(is_settled(&container, SECOND) && !container.is_unnamed());
    feed.name(ID, "web");
    assert!(workloads.refresh(SECOND).is_empty());
    workloads.of(&process, 7, &processes, SECOND);
    assert!(workloads.refresh(SECOND).is_empty());
    feed.name(ID, "renamed");
    let told = workloads.refresh(9 * SECOND);
    assert!(told.len() == 1 && Rc::ptr_eq(&told[0], &container));
    assert_eq!(names(&container), named("renamed", 2));
    assert!(workloads.refresh(9 * SECOND).is_empty() && feed.asked().is_empty());
    assert_eq!(workloads.asked().lookups, 1);
}

/// Scenario: the runtime has no such container, or fails, while runtimes are still being found; then after that; much later
/// it has it.
/// Guarantees: the first word is not the last one; afterwards no event waits, until somebody asks again and there is an answer.
#[tokio::test(start_paused = true)]
async fn a_no_counts_once_runtimes_are_found() {
    let (mut feed, directory) = Feed::new();
    let (mut workloads, container, process, processes) = container(directory, 1);
    feed.absent(ID);
    assert!(workloads.refresh(SECOND).is_empty());
    assert!(!is_settled(&container, SECOND));
    assert!(workloads.refresh(FINDING_NS - 1).is_empty());
    assert!(!is_settled(&container, FINDING_NS - 1));
    assert!(workloads.refresh(FINDING_NS).is_empty());
    assert!(is_settled(&container, FINDING_NS) && container.is_unnamed());
    assert_eq!(feed.asked(), [ID]);
    workloads.made(8, &docker(OTHER), 3 * SECOND);
    assert_eq!(feed.asked(), [OTHER]);
    feed.failed(OTHER);
    assert!(workloads.refresh(3 * SECOND).is_empty());
    workloads.of(&process, 8, &processes, 3 * SECOND);
    assert!(feed.asked().is_empty(), "too early to ask again");
    tokio::time::advance(Duration::from_secs(2)).await;
    workloads.of(&process, 7, &processes, 5 * SECOND);
    assert_eq!(feed.asked(), [ID]);
    assert!(is_settled(&container, 5 * SECOND), "a no stands until there is something else");
    feed.name(ID, "late");
    assert_eq!(workloads.refresh(5 * SECOND).len(), 1);
    assert_eq!(names(&container), named("late", 1));
}

/// Scenario: no runtime is found in time; one is found before, and one long after that time, and names the container unasked.
/// Guarantees: events wait for a runtime only so long; whenever one is found, the container gets its name and that is told.
#[test]
fn a_runtime_may_be_found_late() {
    let (_none, directory) = Feed::unfound();
    let (mut workloads, container_of_none, ..) = container(directory, 1);
    assert!(!is_settled(&container_of_none, SECOND));
    workloads.refresh(FINDING_NS);
    assert!(is_settled(&container_of_none, FINDING_NS));
    for found_ns in [SECOND, 60 * SECOND] {
        let (mut feed, directory) = Feed::unfound();
        let (mut workloads, container, ..) = container(directory, 1);
        assert!(workloads.refresh(found_ns - 1).is_empty());
        feed.appear();
        feed.name(ID, "web");
        let told = workloads.refresh(found_ns);
        assert!(told.len() == 1 && Rc::ptr_eq(&told[0], &container), "{found_ns}");
        assert_eq!(names(&container), named("web", 1));
    }
    let (_none, directory) = Feed::unfound();
    let (_, late, ..) = container(directory, FINDING_NS);
    assert!(is_settled(&late, FINDING_NS), "nobody to ask");
}

/// Scenario: two containers are gone for longer than their cgroups are remembered; a connection still holds one of them.
/// Guarantees: the other one is forgotten, and neither that nor the host as long as it is there.
#[test]
fn forgets_what_nobody_holds() {
    let (feed, directory) = Feed::new();
    let (mut workloads, held, ..) = container(directory, 1);
    workloads.made(8, &docker(OTHER), 1);
    feed.name(ID, "held");
    feed.name(OTHER, "other");
    workloads.refresh(1);
    workloads.reap(REAP_EVERY_NS);
    assert_eq!(workloads.len(), 3, "their cgroups are there");
    workloads.removed(7, REAP_EVERY_NS);
    workloads.removed(8, REAP_EVERY_NS);
    workloads.reap(2 * REAP_EVERY_NS);
    assert_eq!(workloads.len(), 3, "their connections may not be over");
    workloads.reap(800 * SECOND);
    assert_eq!(workloads.len(), 2);
    assert_eq!(names(&held), named("held", 1));
    drop(held);
    workloads.reap(801 * SECOND);
    assert_eq!(workloads.len(), 2, "not every time");
    workloads.reap(900 * SECOND);
    assert!(workloads.is_empty());
}

/// Scenario: the runtime tells of something that is no name: another version of it, another id of the image.
/// Guarantees: nothing else is known.
#[test]
fn what_is_no_name_is_no_news() {
    let (feed, directory) = Feed::new();
    let (mut workloads, of, ..) = container(directory, 1);
    let details = Details { name: Some("web".into()), ..Details::default() };
    feed.details(ID, details.clone());
    assert_eq!(workloads.refresh(1).len(), 1);
    let runtime = container::Runtime { version: Some("2.0".into()), ..details.runtime.clone() };
    feed.details(ID, Details { runtime, image_id: Some("sha256:00".into()), ..details });
    assert!(workloads.refresh(1).is_empty());
    assert_eq!(names(&of), named("web", 1));
}
