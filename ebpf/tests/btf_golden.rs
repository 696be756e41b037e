//! Known offsets on real kernels, and the running one.
//!
//! The table was made with other tools: see `testdata/btf/README.md`.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;

use convis_ebpf::btf::{Btf, BtfError, Field, KERNEL_BTF};

fn fixtures() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", "btf"].iter().collect()
}

/// What the walker says, in the words of the table.
fn cell(btf: &Btf<'_>, structure: &str, path: &str) -> String {
    match btf.field(structure, path) {
        Ok(Field { offset, size }) => format!("{offset}/{size}"),
        Err(BtfError::BitField { .. }) => "bits".into(),
        Err(error) if error.is_absent() => "-".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_fixture_gives_the_offsets_of_the_table() {
    let table = fs::read_to_string(fixtures().join("offsets.txt")).unwrap();
    let mut rows = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let kernels = rows.next().unwrap().split_off(2);
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 100 && kernels.len() >= 6, "{} rows, {} kernels", rows.len(), kernels.len());
    let mut wrong = Vec::new();
    for (column, kernel) in kernels.iter().enumerate() {
        let bytes = fs::read(fixtures().join(format!("{kernel}.btf"))).unwrap();
        let btf = Btf::parse(&bytes).unwrap();
        for row in &rows {
            let (structure, path, expected) = (row[0], row[1], row[column + 2]);
            let found = cell(&btf, structure, path);
            if found != expected {
                wrong.push(format!("{kernel} {structure}.{path}: {found} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_fixture_is_in_the_table() {
    let table = fs::read_to_string(fixtures().join("offsets.txt")).unwrap();
    let header = table.lines().find(|line| !line.starts_with('#')).unwrap();
    for entry in fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(kernel) = name.strip_suffix(".btf") {
            assert!(header.split_whitespace().any(|column| column == kernel), "{kernel} has no column");
        }
    }
}

/// Offsets of the running kernel are known to nobody, but some things hold on all.
#[test]
fn the_running_kernel_is_understood() {
    let bytes = match fs::read(KERNEL_BTF) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Past the test harness, which keeps what a passing test prints.
            let why = "this kernel was built without CONFIG_DEBUG_INFO_BTF";
            writeln!(io::stderr(), "SKIPPED the_running_kernel_is_understood: no {KERNEL_BTF}: {why}")
                .unwrap();
            return;
        }
        Err(error) => panic!("{KERNEL_BTF}: {error}"),
    };
    let btf = Btf::parse(&bytes).unwrap();
    let field = |structure, path| btf.field(structure, path).unwrap();
    let (tcp, sock) = (field("tcp_sock", "inet_conn"), field("tcp_sock", "inet_conn.icsk_inet.sk"));
    assert_eq!((tcp.offset, sock.offset), (0, 0));
    assert!(sock.size < tcp.size);
    let (local, peer) = (field("sock", "__sk_common.skc_rcv_saddr"), field("sock", "__sk_common.skc_daddr"));
    assert_eq!((local.size, peer.size, local.offset.abs_diff(peer.offset)), (4, 4, 4));
    assert_eq!(field("sock", "__sk_common.skc_v6_daddr").size, 16);
    let (pid, tgid) = (field("task_struct", "pid"), field("task_struct", "tgid"));
    assert_eq!((pid.size, tgid.offset - pid.offset), (4, 4));
    assert_eq!(field("task_struct", "comm").size, 16);
    assert_eq!(btf.field("task_struct", "convis").map_err(|error| error.is_absent()), Err(true));
}
