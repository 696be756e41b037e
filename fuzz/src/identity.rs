//! What `/proc` and the kernel's sockets tell of processes, their surroundings, and translated addresses.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use convis::identity::cgroup::{Mount, Place, procfs};
use convis::identity::users::Users;
use convis::identity::{Host, ProcessTable};
use convis::nat;
use convis_ebpf::wire::Owner;
use tempfile::TempDir;

use super::text;

/// `/proc/<pid>/cgroup` and the path of a cgroup: what is told stands there.
pub fn cgroup(bytes: &[u8]) {
    let text = text(bytes);
    if let Some((path, place)) = procfs::chosen(text) {
        assert!(path.starts_with('/') && text.contains(path));
        assert_eq!(place, Place::of(path));
    }
    let place = Place::of(text);
    // Escapes and other dashes are undone, which makes nothing longer.
    for told in [&place.container_id, &place.pod_uid, &place.machine].into_iter().flatten() {
        assert!(!told.is_empty() && told.len() <= text.len(), "{told}");
    }
    if let Some(id) = place.container_id.as_ref().filter(|_| !text.contains('\\')) {
        assert!(text.contains(id.as_str()), "{id}");
    }
    assert!(place.runtime.is_none() || !place.is_host());
}

/// A short text again and again, as a path much longer than any: whatever takes more than linear time runs out of it, with
/// `-max_len=16 -timeout=5`.
pub fn cgroup_long(bytes: &[u8]) {
    /// All that is read of `/proc/<pid>/cgroup`.
    const LONG: usize = 256 * 1024;
    let text = text(bytes);
    let long = text.repeat(LONG / text.len().max(1));
    let _place = Place::of(&long);
    let _chosen = procfs::chosen(&format!("0::/{long}"));
    let _lines = procfs::chosen(&long);
}

/// What the kernel answers over netlink when asked for a tracked connection.
pub fn conntrack(bytes: &[u8]) {
    // Its own number, so that everything behind the header is read.
    let sequence =
        bytes.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |own| u32::from_ne_bytes(*own));
    if let Some((_, Some(directions))) = nat::understood(bytes, sequence) {
        for (from, to) in directions {
            assert_eq!(from.is_ipv4(), to.is_ipv4());
        }
    }
    assert_eq!(nat::understood(bytes, sequence.wrapping_add(1)), None);
}

/// `/proc/<pid>/mountinfo`; and a hierarchy mounted anywhere, written as the kernel does, is found there.
pub fn mountinfo(bytes: &[u8]) {
    let text = text(bytes);
    if let Some((_, prefix)) = Mount::widest(text) {
        assert!(prefix.is_empty() || (prefix.starts_with('/') && !prefix.starts_with("/../")), "{prefix}");
    }
    let escaped: String = text.bytes().map(escape).collect();
    let (point, prefix) =
        Mount::widest(&format!("29 23 0:26 / /{escaped} rw - cgroup2 c rw\n")).expect("a mount");
    assert_eq!(point.as_os_str(), OsStr::from_bytes(&[b"/", text.as_bytes()].concat()));
    assert_eq!(prefix, "");
}

fn escape(byte: u8) -> String {
    match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'\r' | 128.. => format!("\\{byte:03o}"),
        _ => char::from(byte).to_string(),
    }
}

/// The pid whose files are written.
const PID: u32 = 7;

thread_local! {
    /// Made once: the files are written over.
    static ROOT: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// The files of a process, of pid 1 and of users, separated by lines of `--`: `stat`, `status`, `cmdline`, `passwd`,
/// `hostname`, `machine-id`. A process is the one that its files tell of, or none; names are one line, ids are ids.
pub fn proc(bytes: &[u8]) {
    ROOT.with_borrow_mut(|root| {
        let root = root.get_or_insert_with(|| {
            let root = tempfile::tempdir().expect("a directory");
            fs::create_dir_all(root.path().join("7")).expect("a directory");
            fs::create_dir_all(root.path().join("1/root/etc")).expect("a directory");
            root
        });
        let files =
            ["7/stat", "7/status", "7/cmdline", "passwd", "1/root/etc/hostname", "1/root/etc/machine-id"];
        let mut parts = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.windows(4).position(|part| part == b"\n--\n") {
            parts.push(&rest[..=at]);
            rest = &rest[at + 4..];
        }
        parts.push(rest);
        for (at, file) in files.iter().enumerate() {
            fs::write(root.path().join(file), parts.get(at).copied().unwrap_or_default()).expect("a file");
        }
        let ticks = text(bytes).split_whitespace().nth(21).and_then(|ticks| ticks.parse::<u64>().ok());
        let start_ns = ticks.unwrap_or_default().saturating_mul(10_000_000);
        let owner = Owner { tgid: PID, exec_seq: 1, start_ns, cgroup_id: 1, uid: 0, vpid: 0 };
        let process = ProcessTable::new(root.path()).find(&owner);
        assert!(process.is(&owner));
        assert_ne!(process.vpid, Some(PID));
        assert!(process.image.command.as_ref().is_none_or(|command| !command.contains('\0')));
        let user = Users::from_file(root.path().join("passwd")).name(0);
        assert!(!user.is_empty() && !user.contains([':', '\n']), "{user}");
        let host = Host::detect(root.path(), &|_| None, Vec::new());
        assert!(!host.name.contains('\n'));
        assert!(host.id.is_none_or(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    });
}
