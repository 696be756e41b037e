//! Records and ledger values as user space reads them.

#![expect(clippy::unwrap_used, reason = "a helper of tests that may fail like them")]

use convis_ebpf::record::{Record, RecordError};
use convis_ebpf::wire::{
    ARGV0_BYTES, CGROUP_PATH_BYTES, CgroupMade, CgroupRemoved, Counters, Entry, Exec, NAME_BYTES,
    OpenedRecord, PATH_BYTES, VERSION, kind,
};
use proptest::prelude::*;

/// An exec record with these names from the file upwards.
fn exec(names: &[u8], argv0: &[u8], complete: bool) -> Vec<u8> {
    let mut bytes = vec![VERSION, kind::EXEC];
    bytes.resize(48, 0);
    bytes.extend(7_u32.to_ne_bytes());
    bytes.extend(u16::try_from(names.len()).unwrap().to_ne_bytes());
    bytes.extend(u16::try_from(argv0.len()).unwrap().to_ne_bytes());
    bytes.extend(u32::from(complete).to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(argv0);
    bytes.resize(64 + ARGV0_BYTES, 0xaa);
    bytes.extend(names);
    bytes.resize(64 + ARGV0_BYTES + PATH_BYTES + NAME_BYTES, 0xaa);
    assert_eq!(bytes.len(), size_of::<Exec>());
    bytes
}

fn image(bytes: &[u8]) -> (String, Option<String>, Option<String>) {
    match Record::parse(bytes).unwrap() {
        Record::Exec(image) => (image.name, image.path, image.command),
        other => panic!("not an exec: {other:?}"),
    }
}

/// Scenario: paths as the kernel walks them, with garbage behind what is used.
/// Guarantees: the path from the root down, the file's name, and nothing of the garbage.
#[test]
fn a_path_is_put_together_from_its_names() {
    let (name, path, command) = image(&exec(b"python3.11\0bin\0usr\0", b"./s.py\0", true));
    assert_eq!(name, "python3.11");
    assert_eq!(path.as_deref(), Some("/usr/bin/python3.11"));
    assert_eq!(command.as_deref(), Some("./s.py"));
}

/// Scenario: a path too deep for the walk, a process without arguments, a name that is not UTF-8.
/// Guarantees: the name alone; no command; a replacement character.
#[test]
fn what_is_not_known_is_not_invented() {
    let (name, path, command) = image(&exec(b"app\0d\0", b"", false));
    assert_eq!((name.as_str(), path, command), ("app", None, None));
    assert_eq!(image(&exec(b"a\xff\0", b"\0", true)).0, "a\u{fffd}");
}

/// A record of a new cgroup with this path, which says that it has `path_len` bytes.
fn cgroup(path: &[u8], path_len: u32, complete: u32) -> Vec<u8> {
    let mut bytes = vec![VERSION, kind::CGROUP_MADE];
    bytes.resize(16, 0);
    bytes.extend(4_711_u64.to_ne_bytes());
    bytes.extend(path_len.to_ne_bytes());
    bytes.extend(complete.to_ne_bytes());
    bytes.extend(path);
    bytes.resize(32 + CGROUP_PATH_BYTES, 0xaa);
    assert_eq!(bytes.len(), size_of::<CgroupMade>());
    bytes
}

fn cgroup_path(bytes: &[u8]) -> Option<String> {
    match Record::parse(bytes).unwrap() {
        Record::CgroupMade { id: 4_711, path } => path,
        other => panic!("not that cgroup: {other:?}"),
    }
}

/// Scenario: paths of cgroups with garbage behind what is used, one that is not UTF-8, and one that fills its room.
/// Guarantees: the path, and nothing of the garbage.
#[test]
fn a_cgroup_has_its_path() {
    assert_eq!(cgroup_path(&cgroup(b"/docker/ab\0", 10, 1)).as_deref(), Some("/docker/ab"));
    assert_eq!(cgroup_path(&cgroup(b"/a\xff\0", 3, 1)).as_deref(), Some("/a\u{fffd}"));
    let long = [b'/'; CGROUP_PATH_BYTES];
    let len = u32::try_from(long.len()).unwrap();
    assert_eq!(cgroup_path(&cgroup(&long, len, 1)).map(|path| path.len()), Some(long.len()));
}

/// Scenario: a cut path, lengths that are more than there is room for, and bytes that are no path.
/// Guarantees: the id alone.
#[test]
fn a_cgroup_never_has_a_wrong_path() {
    let room = u32::try_from(CGROUP_PATH_BYTES).unwrap();
    for (path, len, complete) in [
        (&b"/docker/ab\0"[..], 10, 0),
        (b"/docker/ab\0", 10, 2),
        (b"/docker/ab\0", room + 1, 1),
        (b"/docker/ab\0", u32::MAX, 1),
        (b"\0", 0, 1),
        (b"(null)\0", 6, 1),
    ] {
        assert_eq!(cgroup_path(&cgroup(path, len, complete)), None, "{path:?} {len} {complete}");
    }
}

/// Scenario: a removed cgroup.
/// Guarantees: its id and when.
#[test]
fn a_removed_cgroup_is_told() {
    let mut bytes = vec![VERSION, kind::CGROUP_REMOVED];
    bytes.resize(8, 0);
    bytes.extend(5_u64.to_ne_bytes());
    bytes.extend(u64::MAX.to_ne_bytes());
    assert_eq!(bytes.len(), size_of::<CgroupRemoved>());
    assert_eq!(Record::parse(&bytes), Ok(Record::CgroupRemoved { id: u64::MAX, time_ns: 5 }));
}

/// Scenario: every record cut short at every length, another version, an unknown kind.
/// Guarantees: a named error.
#[test]
fn what_is_no_record_is_refused() {
    for bytes in [exec(b"app\0", b"app\0", true), cgroup(b"/a\0", 2, 1)] {
        for length in 0..bytes.len() {
            assert_eq!(Record::parse(&bytes[..length]), Err(RecordError::Short));
        }
    }
    let mut other = vec![0; size_of::<OpenedRecord>()];
    assert_eq!(Record::parse(&other), Err(RecordError::Version(0)));
    other[0] = VERSION;
    other[1] = 99;
    assert_eq!(Record::parse(&other), Err(RecordError::Kind(99)));
}

/// Scenario: counters of two CPUs, each word different.
/// Guarantees: every counter is the sum of its own words.
#[test]
fn counters_are_summed_word_by_word() {
    let words = std::array::from_fn(|index| index as u64);
    let sum = Counters::sum([words, words]);
    assert_eq!(sum.seen[usize::from(kind::CLOSED)], 2);
    assert_eq!(sum.ring_full[0], 2 * kind::COUNT as u64);
    assert_eq!(sum.ledger_full[0], 4 * kind::COUNT as u64);
    assert_eq!(sum.unreadable[0], 6 * kind::COUNT as u64);
    let after = 8 * kind::COUNT as u64;
    assert_eq!((sum.untracked, sum.own_ends, sum.read_failed), (after, after + 2, after + 4));
}

proptest! {
    /// Scenario: any bytes with any kind.
    /// Guarantees: a record or an error, never a panic.
    #[test]
    fn any_bytes(kind in any::<u8>(), mut bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
        let _answer = Record::parse(&bytes);
        let _answer = Entry::parse(&bytes);
        if let [version, of, ..] = bytes.as_mut_slice() {
            (*version, *of) = (VERSION, kind);
        }
        let _answer = Record::parse(&bytes);
    }
}
