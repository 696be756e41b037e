//! The host, as every Resource names it.

use std::path::Path;

use convis_exporters::model::ResourceBuilder;

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
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            id: machine_id(proc_root),
            node: set("K8S_NODE_NAME"),
            cluster: set("K8S_CLUSTER_NAME"),
            extra,
        }
    }

    /// Adds the host's attributes.
    pub fn describe(&self, builder: ResourceBuilder) -> ResourceBuilder {
        let mut builder = builder
            .with("host.name", self.name.as_str())
            .with_opt("host.id", self.id.as_deref())
            .with("host.arch", arch())
            .with("os.type", "linux")
            .with_opt("k8s.node.name", self.node.as_deref())
            .with_opt("k8s.cluster.name", self.cluster.as_deref());
        for (key, value) in &self.extra {
            builder = builder.with(key.clone(), value.as_str());
        }
        builder
    }
}

/// The machine id of the host, also from inside a container: pid 1's root is the host's.
fn machine_id(proc_root: &Path) -> Option<String> {
    let candidates =
        [proc_root.join("1/root/etc/machine-id"), proc_root.join("1/root/var/lib/dbus/machine-id")];
    candidates.iter().find_map(|file| {
        let id = std::fs::read_to_string(file).ok()?;
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
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let env = |name: &str| (name == "K8S_NODE_NAME").then(|| "n1".to_owned());
        let extra = vec![("env".into(), "test".into()), ("os.type".into(), "plan9".into())];
        let resource = Host::detect(root.path(), &env, extra).describe(Resource::builder()).build();
        assert_eq!(resource.text("host.id"), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(resource.text("k8s.node.name"), Some("n1"));
        assert_eq!(resource.text("k8s.cluster.name"), None);
        assert_eq!(resource.text("env"), Some("test"));
        assert_eq!(resource.text("os.type"), Some("linux"));
    }
}
