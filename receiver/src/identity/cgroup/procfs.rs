//! `/proc/<pid>/cgroup`: a line for each hierarchy, of which some know more than others.

use std::io::Read as _;
use std::path::Path;

use super::Place;

/// How much of the file is read; a path is at most 4 KiB and there are some fifteen lines.
const MAX_BYTES: u64 = 256 * 1024;
/// More hierarchies than a kernel has.
const MAX_LINES: usize = 64;

/// The path to go by in the text of `/proc/<pid>/cgroup`, and what it tells: version 2's if it has a container, else that
/// of the first version 1 hierarchy that has; without any container the first that is not the root.
pub fn chosen(text: &str) -> Option<(&str, Place)> {
    let mut lines: Vec<(u8, &str)> = text.lines().take(MAX_LINES).filter_map(line).collect();
    lines.sort_by_key(|(rank, _)| *rank);
    let mut places: Vec<(&str, Place)> = lines.into_iter().map(|(_, path)| (path, Place::of(path))).collect();
    let first = |fits: fn(&(&str, Place)) -> bool| places.iter().position(fits);
    let best = first(|(_, place)| place.container_id.is_some())
        .or_else(|| first(|(_, place)| !place.is_host()))
        .or_else(|| first(|(path, _)| *path != "/"))
        .or_else(|| first(|_| true))?;
    Some(places.swap_remove(best))
}

/// Where the process runs, if it is there. `proc_root` is where procfs is mounted; convis has to be in the host's cgroup
/// namespace to see more than its own surroundings.
pub fn place(proc_root: &Path, pid: u32) -> Option<Place> {
    read(&proc_root.join(pid.to_string())).as_deref().and_then(chosen).map(|(_, place)| place)
}

/// The text of `cgroup` in the directory of a process.
pub(in crate::identity) fn read(process: &Path) -> Option<String> {
    let mut text = Vec::new();
    std::fs::File::open(process.join("cgroup")).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The path of a line and its rank; a path may contain `:`.
fn line(text: &str) -> Option<(u8, &str)> {
    let mut fields = text.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    number.parse::<u32>().ok()?;
    let has = |name: &str| controllers.split(',').any(|controller| controller == name);
    let rank = if controllers.is_empty() {
        0
    } else {
        let wanted = ["name=systemd", "memory", "cpu", "pids"];
        1 + wanted.into_iter().zip(0..).find(|(name, _)| has(name)).map_or(4, |(_, rank)| rank)
    };
    path.starts_with('/').then_some((rank, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e";

    fn path_of(text: &str) -> &str {
        chosen(text).unwrap().0
    }

    /// Scenario: texts of a version 2 host, of version 1, and of hybrids where one or the other hierarchy has the container.
    /// Guarantees: the line with the container, version 2 first, then systemd, memory, cpu, pids, any other.
    #[test]
    fn chooses_the_line_that_knows() {
        let v2 = format!("0::/system.slice/docker-{ID}.scope\n");
        assert_eq!(path_of(&v2), format!("/system.slice/docker-{ID}.scope"));
        let v1 =
            format!("9:perf_event:/\n8:cpu,cpuacct:/docker/{ID}\n5:pids:/x\n3:memory:/docker/{ID}/a\n0::/\n");
        assert_eq!(path_of(&v1), format!("/docker/{ID}/a"));
        let both = format!("9:name=systemd:/docker/{ID}\n0::/docker/{ID}/inner\n");
        assert_eq!(path_of(&both), format!("/docker/{ID}/inner"));
        let systemd =
            format!("4:memory:/lxc.payload.a\n9:name=systemd:/docker/{ID}\n0::/system.slice/a.service\n");
        assert_eq!(path_of(&systemd), format!("/docker/{ID}"));
        let other =
            format!("7:freezer:/docker/{ID}\n4:memory:/\n1:name=systemd:/init.scope\n0::/init.scope\n");
        assert_eq!(path_of(&other), format!("/docker/{ID}"));
        let machine = "4:memory:/lxc.payload.a\n1:name=systemd:/system.slice/lxc.service\n";
        assert_eq!(path_of(machine), "/lxc.payload.a");
    }

    /// Scenario: processes of the host: a service, a session whose other hierarchies name the service that made it, one
    /// that only the memory hierarchy knows, a kernel thread.
    /// Guarantees: the first path that is not the root.
    #[test]
    fn a_session_is_no_service() {
        let session = "/user.slice/user-0.slice/session-1.scope";
        let text = format!("5:pids:/system.slice/ssh.service\n1:name=systemd:{session}\n0::{session}\n");
        assert_eq!(chosen(&text), Some((session, Place::default())));
        let service = chosen("1:name=systemd:/system.slice/ssh.service\n0::/system.slice/ssh.service\n");
        assert_eq!(service.unwrap().1.unit.as_deref(), Some("ssh.service"));
        assert_eq!(path_of("9:name=systemd:/\n4:memory:/process_api/85\n0::/\n"), "/process_api/85");
        assert_eq!(path_of("9:name=systemd:/\n0::/\n"), "/");
    }

    /// Scenario: a path with colons, one of a removed cgroup, lines that are none, an empty file.
    /// Guarantees: the path is whole; what is no line is left out.
    #[test]
    fn reads_odd_lines() {
        let colons = format!("0::/system.slice/containerd.service/k.slice:cri-containerd:{ID}");
        assert_eq!(chosen(&colons).unwrap().1.container_id.as_deref(), Some(ID));
        let gone = format!("x\n1:\n:::\n-1::/a\n0::relative\n0::/docker/{ID} (deleted)\n");
        assert_eq!(chosen(&gone).unwrap().1.container_id.as_deref(), Some(ID));
        assert_eq!(chosen(""), None);
    }

    /// Scenario: a procfs with one process; then this test's own.
    /// Guarantees: its place; none of a process that is gone; the kernel's own text is understood.
    #[test]
    fn reads_a_process() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("7")).unwrap();
        std::fs::write(root.path().join("7/cgroup"), b"0::/lxc.payload.web/\xff/x.service\n").unwrap();
        assert_eq!(place(root.path(), 7).unwrap().machine.as_deref(), Some("web"));
        assert_eq!(place(root.path(), 8), None);
        assert!(place(Path::new("/proc"), std::process::id()).is_some());
    }
}
