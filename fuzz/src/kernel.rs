//! What the kernel writes: records, ledger values, and its description of itself.

use convis_ebpf::btf::Btf;
use convis_ebpf::record::{Record, RecordError};
use convis_ebpf::wire::{Entry, VERSION, kind};

const QUESTIONS: &[(&str, &str)] = &[
    ("file", "f_path.dentry"),
    ("sock", "__sk_common.skc_v6_daddr"),
    ("tcp_sock", "inet_conn.icsk_inet.sk.__sk_common.skc_num"),
    ("task_struct", "start_boottime"),
];

/// BTF: the same answer whenever the same is asked.
pub fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for (structure, path) in QUESTIONS {
        let answers = [(); 2].map(|()| format!("{:?}", btf.field(structure, path)));
        assert_eq!(answers[0], answers[1]);
    }
}

/// A record of the ring and a value of the ledger: refused for what is named, and more bytes behind it change nothing.
pub fn record(bytes: &[u8]) {
    let parsed = Record::parse(bytes);
    match (&parsed, bytes) {
        (Ok(_), [version, kind, ..]) => {
            assert!(*version == VERSION && usize::from(*kind) < kind::COUNT);
            assert_eq!(Record::parse(&[bytes, &[0xff]].concat()), parsed);
        }
        (Err(RecordError::Kind(told)), [_, kind, ..]) => assert_eq!(told, kind),
        (Err(RecordError::Version(told)), [version, ..]) => assert!(told == version && *told != VERSION),
        (Err(RecordError::Short), _) => {}
        (other, _) => panic!("{other:?}"),
    }
    let entry = Entry::parse(bytes);
    assert_eq!(entry.is_ok(), bytes.len() >= size_of::<Entry>());
}
