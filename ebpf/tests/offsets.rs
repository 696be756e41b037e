//! The layout that the programs need, against the golden BTF extracts.

#![expect(clippy::unwrap_used, reason = "a helper of tests that may fail like them")]

use convis_ebpf::btf::Btf;
use convis_ebpf::layout::{ABSENT, WANTED, WINDOW_BYTES};
use convis_ebpf::offsets::{require, resolve, window_start};

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/btf");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let extracts = files.filter(|path| path.extension().is_some_and(|extension| extension == "btf"));
    extracts.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

/// Scenario: the types of every kernel that extracts exist of.
/// Guarantees: every member that the programs need is there; only what is optional may be absent.
#[test]
fn every_kernel_has_the_layout() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 6);
    for (name, bytes) in fixtures {
        let offsets = resolve(&Btf::parse(&bytes).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (offset, wanted) in offsets.iter().zip(WANTED) {
            assert!(*offset != ABSENT || wanted.optional, "{name}: {wanted:?}");
        }
    }
}

/// Scenario: the window of a `tcp_sock` on every kernel.
/// Guarantees: it is aligned and holds at least seven of the members, so one read does most of the work.
#[test]
fn the_window_holds_most_members() {
    for (name, bytes) in fixtures() {
        let offsets = resolve(&Btf::parse(&bytes).unwrap()).unwrap();
        let start = window_start(&offsets);
        let members = offsets.iter().zip(WANTED).filter(|(_, wanted)| wanted.structure == "tcp_sock");
        let end = start + WINDOW_BYTES;
        let held = members.filter(|(offset, wanted)| (start..=end - wanted.size).contains(*offset)).count();
        assert!(start.is_multiple_of(8) && held >= 7, "{name}: {held} from {start}");
    }
}

/// Scenario: the bit that tells the kernel's own sockets, on every kernel, and questions that have no single bit as answer.
/// Guarantees: it is the second bit of its byte, as in the kernel's source; everything else is refused.
#[test]
fn the_bit_of_kernel_sockets_is_found() {
    for (name, bytes) in fixtures() {
        let btf = Btf::parse(&bytes).unwrap();
        let bit = btf.bit("sock", "sk_kern_sock").unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(bit % 8, 1, "{name}: {bit}");
        for path in ["sk_protocol", "sk_userlocks", "nonsense"] {
            assert!(btf.bit("sock", path).is_err(), "{name}: {path}");
        }
    }
}

/// Scenario: what tells of cgroups, on every kernel, on one without the members of two structures, and a question for a member
/// that is none of the layout's.
/// Guarantees: it is there; where it is not, the rest resolves, and each absent one is named.
#[test]
fn absent_cgroups_are_named() {
    const CGROUPS: [(&str, &str); 3] =
        [("cgroup", "kn"), ("cgroup", "root"), ("cgroup_root", "hierarchy_id")];
    for (name, mut bytes) in fixtures() {
        let offsets = resolve(&Btf::parse(&bytes).unwrap()).unwrap();
        assert_eq!(require(&offsets, &CGROUPS), Ok(()), "{name}");
        assert!(require(&offsets, &[("cgroup", "nonsense")]).is_err(), "{name}");
        for (from, to) in
            [(&b"\0cgroup\0"[..], &b"\0cgrxup\0"[..]), (b"\0hierarchy_id\0", b"\0hierarchy_ix\0")]
        {
            let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
            bytes[at..at + from.len()].copy_from_slice(to);
        }
        let offsets = resolve(&Btf::parse(&bytes).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = require(&offsets, &CGROUPS).unwrap_err();
        assert_eq!(error.members.len(), CGROUPS.len(), "{name}");
        assert!(error.to_string().ends_with("struct cgroup_root has no field hierarchy_id"), "{error}");
    }
}

/// Scenario: a kernel whose types lack members that are needed.
/// Guarantees: each is named, and no offset is made up.
#[test]
fn missing_members_are_named() {
    for (name, mut bytes) in fixtures() {
        // Names are told apart by their bytes: one changed byte takes the members away.
        for (from, to) in
            [(&b"\0bytes_acked\0"[..], &b"\0bytes_xcked\0"[..]), (b"\0exe_file\0", b"\0exe_xile\0")]
        {
            let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
            bytes[at..at + from.len()].copy_from_slice(to);
        }
        let error = resolve(&Btf::parse(&bytes).unwrap()).unwrap_err();
        assert_eq!(error.members.len(), 2, "{name}");
        let text = error.to_string();
        assert!(text.contains("tcp_sock") && text.contains("bytes_acked"), "{text}");
        assert!(text.contains("mm_struct") && text.contains("exe_file"), "{text}");
    }
}
