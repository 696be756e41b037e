//! The format: every kind's length, headers, and what is refused.

use super::blob::{
    Blob, CONST, DATASEC, DECL_TAG, ENUM, ENUM64, FLOAT, FUNC, FUNC_PROTO, FWD, RESTRICT, TYPE_TAG, TYPEDEF,
    VAR, VOLATILE,
};
use super::{Btf, BtfError, ask};
use crate::btf::Kind;

/// A structure `s { int a; }` as type 2.
fn simple() -> Blob {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    blob.structure("s", 4, &[("a", int, 0)]);
    blob
}

#[test]
fn every_kind_is_passed_over_by_its_own_length() {
    let mut blob = simple();
    blob.union("u", 4, &[("a", 1, 0), ("b", 1, 0)]);
    blob.array(1, 4);
    blob.pointer(1);
    blob.add(ENUM, "e", 2, 4, &[0, 1, 0, 2]);
    blob.add(FWD, "f", 0, 0, &[]);
    for kind in [TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG] {
        blob.add(kind, "t", 0, 1, &[]);
    }
    blob.add(FUNC_PROTO, "", 2, 1, &[0, 1, 0, 1]);
    // A function keeps its linkage where others count their elements.
    blob.add(FUNC, "g", 1, 13, &[]);
    blob.add(VAR, "v", 0, 1, &[1]);
    blob.add(DATASEC, ".data", 2, 8, &[15, 0, 4, 15, 4, 4]);
    blob.add(FLOAT, "double", 0, 8, &[]);
    blob.add(DECL_TAG, "tag", 0, 2, &[0]);
    blob.add(ENUM64, "big", 2, 8, &[0, 1, 0, 0, 2, 0]);
    blob.structure("last", 8, &[("z", 1, 32)]);
    assert_eq!(ask(&blob, "last", "z"), Ok((4, 4)));
    let bytes = blob.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.get(19).unwrap().kind, Kind::Enum64);
    assert_eq!(btf.name(btf.get(20).unwrap().name_off), b"last");
}

#[test]
fn a_newer_kind_is_passed_over_if_the_layout_section_describes_it() {
    let mut blob = simple();
    blob.add(20, "new", 3, 0, &[9, 1, 2, 3]);
    blob.structure("last", 8, &[("z", 1, 32)]);
    assert_eq!(ask(&blob, "last", "z"), Err(BtfError::UnknownKind { id: 3, kind: 20 }));
    blob.describe(19, 0, 12);
    assert_eq!(ask(&blob, "last", "z"), Err(BtfError::UnknownKind { id: 3, kind: 20 }));
    blob.describe(20, 4, 4);
    assert_eq!(ask(&blob, "last", "z"), Ok((4, 4)));
    // Kinds have 7 bits since Linux 7.2.
    blob.add(100, "newer", 0, 0, &[]);
    assert_eq!(ask(&blob, "last", "z"), Err(BtfError::UnknownKind { id: 5, kind: 100 }));
    blob.describe(100, 0, 0);
    assert_eq!(ask(&blob, "last", "z"), Ok((4, 4)));
}

#[test]
fn more_than_65535_members_are_counted() {
    let mut blob = Blob::new();
    let int = blob.int("int", 1);
    let count = 70_000_u32;
    let extra: Vec<u32> = (0..count).flat_map(|i| [0, int, i * 8]).collect();
    blob.add(5, "u", count, 1, &extra);
    blob.structure("last", 8, &[("z", 1, 32)]);
    assert_eq!(ask(&blob, "last", "z"), Ok((4, 1)));
}

#[test]
fn headers_that_are_refused() {
    let good = simple().bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Btf::parse(&bytes).map(drop)
    };
    assert_eq!(Btf::parse(&[]).map(drop), Err(BtfError::Truncated { part: "header", end: 24, len: 0 }));
    assert_eq!(with(0, 0x7f), Err(BtfError::NotBtf { found: 0xeb7f }));
    assert_eq!(with(2, 2), Err(BtfError::Version { version: 2 }));
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert_eq!(Btf::parse(&swapped).map(drop), Err(BtfError::BigEndian));

    let len = good.len() as u64;
    assert_eq!(with(4, 20), Err(BtfError::Truncated { part: "header", end: 24, len }));
    assert_eq!(with(4, 200), Err(BtfError::Truncated { part: "header", end: 200, len }));
    for (at, part) in
        [(8, "type section"), (12, "type section"), (16, "string section"), (20, "string section")]
    {
        let Err(BtfError::Truncated { part: found, .. }) = with(at + 1, 1) else { panic!("byte {at}") };
        assert_eq!(found, part);
    }
}

#[test]
fn every_truncation_is_an_error() {
    let good = simple().bytes();
    for len in 0..good.len() {
        let error = Btf::parse(&good[..len]).map(drop).unwrap_err();
        assert!(matches!(error, BtfError::Truncated { .. }), "{len}: {error}");
    }
    // A type section that ends within a record.
    let mut cut = good.clone();
    cut[12] -= 4;
    let Err(BtfError::Truncated { part, .. }) = Btf::parse(&cut).map(drop) else { panic!("accepted") };
    assert_eq!(part, "type record");
}

#[test]
fn references_and_names_outside_are_errors() {
    let mut blob = Blob::new();
    blob.structure("s", 8, &[("a", 77, 0), ("v", 0, 0), ("f", 2, 0)]);
    blob.add(FWD, "f", 0, 0, &[]);
    let malformed = |id, what| Err(BtfError::Malformed { id, what });
    assert_eq!(ask(&blob, "s", "a"), malformed(77, "it is referred to but not there"));
    assert_eq!(ask(&blob, "s", "v"), malformed(0, "a member whose type has no size"));
    assert_eq!(ask(&blob, "s", "f"), malformed(2, "a member whose type has no size"));

    let mut bytes = simple().bytes();
    // The name of type 2, which follows the header and the 16 bytes of type 1.
    bytes[24 + 16 + 3] = 0xff;
    assert_eq!(
        Btf::parse(&bytes).unwrap().field("s", "a"),
        Err(BtfError::MissingStruct { name: "s".into() })
    );
}

#[test]
fn a_member_beyond_4_gib_is_an_error() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    let mut large = int;
    for _ in 0..3 {
        large = blob.array(large, u32::MAX);
    }
    blob.structure("s", 8, &[("a", large, 0)]);
    assert_eq!(ask(&blob, "s", "a"), Err(BtfError::Malformed { id: 5, what: "a member of more than 4 GiB" }));
}
