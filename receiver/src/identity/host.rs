//! The host, as every Resource names it.

use std::fs::{self, File};
use std::path::Path;

use convis_exporters::model::ResourceBuilder;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::cgroup::procfs::{chosen, read};

/// What is known of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// `host.name`.
    pub name: String,
    /// `host.id`: the machine id.
    pub id: Option<String>,
    /// `k8s.node.name`.
    pub node: Option<String>,
    /// `k8s.cluster.name`.
    pub cluster: Option<String>,
    /// Attributes that the user wants on every Resource where the key is absent.
    pub extra: Vec<(String, String)>,
    /// `host.arch`, if it is another machine than this one.
    pub arch: Option<String>,
}

impl Host {
    /// Looks the host up. `proc_root` is where procfs is mounted; the environment comes through `env`.
    pub fn detect(
        proc_root: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        extra: Vec<(String, String)>,
    ) -> Self {
        let set = |name| env(name).filter(|value: &String| !value.is_empty());
        Self {
            name: name(proc_root),
            id: machine_id(proc_root),
            node: set("K8S_NODE_NAME"),
            cluster: set("K8S_CLUSTER_NAME"),
            extra,
            arch: None,
        }
    }

    /// `host.arch`.
    pub fn arch(&self) -> &str {
        self.arch.as_deref().unwrap_or(arch())
    }

    /// Adds the host's attributes.
    pub fn describe(&self, builder: ResourceBuilder) -> ResourceBuilder {
        let mut builder = builder
            .with("host.name", self.name.as_str())
            .with_opt("host.id", self.id.as_deref())
            .with("host.arch", self.arch())
            .with("os.type", "linux")
            .with_opt("k8s.node.name", self.node.as_deref())
            .with_opt("k8s.cluster.name", self.cluster.as_deref());
        for (key, value) in &self.extra {
            builder = builder.with(key.clone(), value.as_str());
        }
        builder
    }
}

/// The first namespaces of a kernel have these names always.
const FIRST_UTS: &str = "uts:[4026531838]";
const FIRST_CGROUP: &str = "cgroup:[4026531835]";

/// The host's name, also from inside a container: that of pid 1's UTS namespace. Where that cannot be entered (it needs
/// `CAP_SYS_ADMIN`), what the host was called when it booted; where nothing can be seen, the name convis sees itself.
fn name(proc_root: &Path) -> String {
    let own = uname();
    let [mine, first] = ["self", "1"].map(|process| namespace(proc_root, process, "uts"));
    if mine.as_deref() == Some(FIRST_UTS) || mine == first {
        return own;
    }
    name_in(&proc_root.join("1/ns/uts")).or_else(|| configured(proc_root)).unwrap_or(own)
}

fn uname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name in a UTS namespace. `/proc/sys/kernel/hostname` would always give the reader's own.
fn name_in(namespace: &Path) -> Option<String> {
    use std::os::fd::AsFd as _;

    let namespace = File::open(namespace).ok()?;
    let visit = move || {
        let uts = Some(LinkNameSpaceType::HostNameAndNISDomainName);
        move_into_link_name_space(namespace.as_fd(), uts).ok().map(|()| uname())
    };
    // A thread enters alone, and this one ends with it.
    std::thread::Builder::new().spawn(visit).ok()?.join().ok()?
}

fn configured(proc_root: &Path) -> Option<String> {
    let text = fs::read_to_string(proc_root.join("1/root/etc/hostname")).ok()?;
    let mut names = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.next().map(str::to_owned)
}

/// Where the link of a namespace leads; `None` where convis may not look.
fn namespace(proc_root: &Path, process: &str, kind: &str) -> Option<String> {
    let target = fs::read_link(proc_root.join(process).join("ns").join(kind)).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// The machine id of the host, also from inside a container: pid 1's root is the host's. Without the right to look there
/// (`CAP_SYS_PTRACE`) convis's own root has it, if convis is in no container.
fn machine_id(proc_root: &Path) -> Option<String> {
    let own = || outside(proc_root).then(|| machine_id_in(&proc_root.join("self/root"))).flatten();
    machine_id_in(&proc_root.join("1/root")).or_else(own)
}

/// Whether convis is certainly in no container: its cgroup shows none, and it sees all of the path.
fn outside(proc_root: &Path) -> bool {
    let text = read(&proc_root.join("self"));
    namespace(proc_root, "self", "cgroup").as_deref() == Some(FIRST_CGROUP)
        && text.as_deref().and_then(chosen).is_some_and(|(_, place)| place.is_host())
}

fn machine_id_in(root: &Path) -> Option<String> {
    ["etc/machine-id", "var/lib/dbus/machine-id"].iter().find_map(|file| {
        let id = fs::read_to_string(root.join(file)).ok()?;
        let id = id.trim();
        (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
    })
}

/// The name that the semantic conventions have for this architecture.
const fn arch() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        std::env::consts::ARCH
    }
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::Resource;

    use super::*;

    /// Scenario: a procfs whose pid 1 has a machine id, an environment of Kubernetes, attributes of the user.
    /// Guarantees: all are on the Resource, and the user's never replace what is known.
    #[test]
    fn describes_the_host() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("1/root/etc");
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let env = |name: &str| (name == "K8S_NODE_NAME").then(|| "n1".to_owned());
        let extra = vec![("env".into(), "test".into()), ("os.type".into(), "plan9".into())];
        let resource = Host::detect(root.path(), &env, extra).describe(Resource::builder()).build();
        assert_eq!(resource.text("host.id"), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(resource.text("k8s.node.name"), Some("n1"));
        assert_eq!(resource.text("k8s.cluster.name"), None);
        assert_eq!(resource.text("env"), Some("test"));
        assert_eq!(resource.text("os.type"), Some("linux"));
    }

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn write(root: &Path, path: &str, text: &str) {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }

    fn link(root: &Path, path: &str, target: &str) {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, root.join(path)).unwrap();
    }

    fn detect(root: &Path) -> Host {
        Host::detect(root, &|_| None, Vec::new())
    }

    /// Scenario: convis on the host itself, in the namespace of pid 1, and where it may not look at pid 1.
    /// Guarantees: its own name, whatever a file says.
    #[test]
    fn has_the_name_it_sees() {
        for (own, first) in [
            (Some(FIRST_UTS), None),
            (Some(FIRST_UTS), Some("uts:[1]")),
            (Some("uts:[2]"), Some("uts:[2]")),
            (None, None),
        ] {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), "1/root/etc/hostname", "other\n");
            for (process, target) in [("self", own), ("1", first)] {
                if let Some(target) = target {
                    link(root.path(), &format!("{process}/ns/uts"), target);
                }
            }
            assert_eq!(detect(root.path()).name, uname());
        }
    }

    /// Scenario: convis in a container with a name of its own, where pid 1's namespace cannot be entered; then without a
    /// file that says how the host is called.
    /// Guarantees: the name in the host's file, past its comments; else its own.
    #[test]
    fn has_the_hosts_name_in_a_container() {
        let root = tempfile::tempdir().unwrap();
        link(root.path(), "self/ns/uts", "uts:[4026532500]");
        link(root.path(), "1/ns/uts", FIRST_UTS);
        assert_eq!(detect(root.path()).name, uname());
        write(root.path(), "1/root/etc/hostname", "# name\n\n node-1 \n");
        assert_eq!(detect(root.path()).name, "node-1");
    }

    /// Scenario: this process's own UTS namespace, and a file that is none.
    /// Guarantees: entered or not, no other name comes of it, and this thread stays where it was.
    #[test]
    fn enters_a_namespace() {
        let entered = name_in(Path::new("/proc/self/ns/uts"));
        assert!(entered.is_none_or(|name| name == uname()));
        assert_eq!(name_in(Path::new("/proc/self/stat")), None);
    }

    /// Scenario: convis may not look at pid 1's root: on the host, in a container, in a cgroup namespace of its own.
    /// Guarantees: the host's id, of which only the first is sure; pid 1's once it can be seen, by either file.
    #[test]
    fn has_the_id_of_no_container() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "self/root/etc/machine-id", ID);
        write(root, "self/cgroup", "0::/system.slice/convis.service\n");
        assert_eq!(detect(root).id, None);
        link(root, "self/ns/cgroup", FIRST_CGROUP);
        assert_eq!(detect(root).id.as_deref(), Some(ID));
        write(root, "self/cgroup", &format!("0::/docker/{ID}{ID}\n"));
        assert_eq!(detect(root).id, None);
        let hosts = ID.replace('0', "f");
        write(root, "1/root/var/lib/dbus/machine-id", &hosts);
        assert_eq!(detect(root).id, Some(hosts));
        write(root, "1/root/etc/machine-id", "uninitialized\n");
        assert!(detect(root).id.is_some());
    }

    /// Scenario: both variables of Kubernetes, and empty ones.
    /// Guarantees: the names they have; an empty one is none.
    #[test]
    fn knows_its_node() {
        let root = tempfile::tempdir().unwrap();
        let full = |name: &str| match name {
            "K8S_NODE_NAME" => Some("n1".to_owned()),
            "K8S_CLUSTER_NAME" => Some("c1".to_owned()),
            _ => None,
        };
        let host = Host::detect(root.path(), &full, Vec::new());
        assert_eq!((host.node.as_deref(), host.cluster.as_deref()), (Some("n1"), Some("c1")));
        let host = Host::detect(root.path(), &|_| Some(String::new()), Vec::new());
        assert_eq!((host.node, host.cluster), (None, None));
    }
}
