//! Where the hierarchy of version 2 is mounted.

use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A mount of the version 2 hierarchy, also of the one beside version 1's (`/sys/fs/cgroup/unified`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory where it is.
    pub directory: PathBuf,
    /// Path of the cgroup that this directory shows; empty for the root.
    pub prefix: String,
}

impl Mount {
    /// The host's, as pid 1 has it mounted, else convis's own. From inside a container only the former is whole.
    /// `proc_root` is where procfs is mounted.
    pub fn find(proc_root: &Path) -> Option<Self> {
        ["1", "self"].into_iter().find_map(|process| {
            let process = proc_root.join(process);
            let text = std::fs::read(process.join("mountinfo")).ok()?;
            let (point, prefix) = Self::widest(&String::from_utf8_lossy(&text))?;
            let directory = process.join("root").join(point.strip_prefix("/").ok()?);
            directory.is_dir().then_some(Self { directory, prefix })
        })
    }

    /// Mount point and root, empty for that of the hierarchy, of the mount that shows most. Public for a fuzz target.
    #[doc(hidden)]
    pub fn widest(mountinfo: &str) -> Option<(PathBuf, String)> {
        // Of equals the first one.
        mountinfo.lines().filter_map(line).min_by_key(|(_, root)| root.len())
    }
}

/// One mount: see `proc_pid_mountinfo(5)`.
fn line(text: &str) -> Option<(PathBuf, String)> {
    let (mount, source) = text.split_once(" - ")?;
    if source.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    let root = plain(fields.next()?);
    let point = std::ffi::OsString::from_vec(plain(fields.next()?));
    let root = String::from_utf8_lossy(&root).into_owned();
    // Seen from a cgroup namespace of one's own, what is above it begins with `/..`.
    let below = root.split('/').skip_while(|part| matches!(*part, "" | ".."));
    Some((point.into(), below.fold(String::new(), |path, part| path + "/" + part)))
}

/// Undoes the octal escapes of blanks and backslashes.
fn plain(field: &str) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, after @ ..] = rest {
        let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        let escaped = after.get(..3).filter(|_| *first == b'\\').and_then(octal);
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn found(text: &str) -> Option<(String, String)> {
        Mount::widest(text).map(|(point, root)| (point.to_str().unwrap().to_owned(), root))
    }

    /// Scenario: mount tables of a version 2 host, a hybrid, a version 1 host, a container with a part of the hierarchy, one
    /// with the whole beside it, and one in a cgroup namespace of its own.
    /// Guarantees: the mount that shows most, and where what it shows is.
    #[test]
    fn finds_the_hierarchy() {
        let v1 =
            "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n23 1 0:2 / /proc rw - proc proc rw\n";
        let hybrid = format!("{v1}41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
        assert_eq!(found(V2), Some(("/sys/fs/cgroup".into(), String::new())));
        assert_eq!(found(&hybrid), Some(("/sys/fs/cgroup/unified".into(), String::new())));
        assert_eq!(found(v1), None);
        let part = "50 49 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(found(part), Some(("/sys/fs/cgroup".into(), "/docker/ab".into())));
        let whole = format!("{part}51 49 0:26 / /host/cg\\040x ro master:1 - cgroup2 cgroup rw\n");
        assert_eq!(found(&whole), Some(("/host/cg x".into(), String::new())));
        let above = "51 49 0:26 /../../.. /host/cg rw - cgroup2 cgroup rw\n";
        assert_eq!(found(above), Some(("/host/cg".into(), String::new())));
        assert_eq!(found("51 49 0:26 /../x /a rw - cgroup2 c rw\n"), Some(("/a".into(), "/x".into())));
        assert_eq!(found("51 49 - cgroup2\n - \n"), None);
    }

    /// Scenario: a procfs where pid 1's mounts can be seen, and one where they cannot.
    /// Guarantees: pid 1's below its root; else one's own.
    #[test]
    fn prefers_the_hosts() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("self");
        std::fs::create_dir_all(own.join("root/sys/fs/cgroup")).unwrap();
        std::fs::write(own.join("mountinfo"), V2).unwrap();
        let directory = own.join("root/sys/fs/cgroup");
        assert_eq!(Mount::find(root.path()), Some(Mount { directory, prefix: String::new() }));
        let first = root.path().join("1");
        std::fs::create_dir(&first).unwrap();
        std::fs::write(first.join("mountinfo"), V2).unwrap();
        assert!(Mount::find(root.path()).unwrap().directory.starts_with(&own));
        std::fs::create_dir_all(first.join("root/sys/fs/cgroup")).unwrap();
        assert!(Mount::find(root.path()).unwrap().directory.starts_with(&first));
    }

    proptest! {
        /// Scenario: any text, and a hierarchy mounted anywhere, written as the kernel does.
        /// Guarantees: no panic, and what is shown is a path or the root; the mount is found where it is.
        #[test]
        fn finds_any_mount(text in "( - cgroup2|[ /.\\\\0-7]|\\PC){0,60}", point in "[^\0]{0,40}") {
            if let Some((_, prefix)) = Mount::widest(&text) {
                prop_assert!(prefix.is_empty() || prefix.starts_with('/') && !prefix.starts_with("/../"));
            }
            let escape = |byte: u8| match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'\r' | 128.. => format!("\\{byte:03o}"),
                _ => char::from(byte).to_string(),
            };
            let escaped: String = point.bytes().map(escape).collect();
            let text = format!("{text}\n29 23 0:26 / /{escaped} rw - cgroup2 c rw\n");
            let only = text.lines().next_back().unwrap_or_default();
            prop_assert_eq!(Mount::widest(only), Some((PathBuf::from(format!("/{point}")), String::new())));
            prop_assert_eq!(Mount::widest(&text).unwrap().1, "");
        }
    }
}
