//! What the walker says of BTFs made by hand.

mod blob;
mod format;

use super::{Btf, BtfError, Field};
use blob::{Blob, CONST, ENUM, ENUM64, FLOAT, FWD, INT, RESTRICT, TYPE_TAG, TYPEDEF, VOLATILE};

fn ask(blob: &Blob, structure: &str, path: &str) -> Result<(u32, u32), BtfError> {
    let bytes = blob.bytes();
    Btf::parse(&bytes)?.field(structure, path).map(|Field { offset, size }| (offset, size))
}

fn missing(structure: &str, path: &str) -> BtfError {
    BtfError::MissingField { structure: structure.into(), path: path.into() }
}

#[test]
fn plain_members_of_every_sized_kind() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    let pointer = blob.pointer(0);
    let array = blob.array(int, 3);
    let matrix = blob.array(array, 2);
    let flexible = blob.array(int, 0);
    let float = blob.add(FLOAT, "double", 0, 8, &[]);
    let small = blob.add(ENUM, "small", 1, 4, &[0, 7]);
    let large = blob.add(ENUM64, "large", 1, 8, &[0, 7, 0]);
    blob.structure(
        "s",
        128,
        &[
            ("i", int, 0),
            ("p", pointer, 64),
            ("a", array, 128),
            ("m", matrix, 256),
            ("f", float, 448),
            ("e", small, 512),
            ("l", large, 576),
            ("z", flexible, 1024),
        ],
    );
    let expected = [
        ("i", 0, 4),
        ("p", 8, 8),
        ("a", 16, 12),
        ("m", 32, 24),
        ("f", 56, 8),
        ("e", 64, 4),
        ("l", 72, 8),
        ("z", 128, 0),
    ];
    for (path, offset, size) in expected {
        assert_eq!(ask(&blob, "s", path), Ok((offset, size)), "{path}");
    }
}

#[test]
fn anonymous_members_are_looked_through_at_any_level() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    let innermost = blob.structure("", 8, &[("a", int, 0), ("b", int, 32)]);
    let either = blob.union("", 8, &[("whole", int, 0), ("", innermost, 0)]);
    let named = blob.structure("tagged", 4, &[("t", int, 0)]);
    let constant = blob.add(CONST, "", 0, named, &[]);
    blob.structure("s", 24, &[("first", int, 0), ("", either, 64), ("", constant, 128), ("last", int, 160)]);
    assert_eq!(ask(&blob, "s", "whole"), Ok((8, 4)));
    assert_eq!(ask(&blob, "s", "b"), Ok((12, 4)));
    assert_eq!(ask(&blob, "s", "t"), Ok((16, 4)));
    assert_eq!(ask(&blob, "s", "last"), Ok((20, 4)));
    assert_eq!(ask(&blob, "s", "c"), Err(missing("s", "c")));
    assert_eq!(ask(&blob, "s", ""), Err(missing("s", "")));
}

#[test]
fn a_path_descends_by_value_and_through_modifiers() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    let inner = blob.structure("inner", 8, &[("x", int, 32)]);
    let mut wrapped = inner;
    for kind in [TYPE_TAG, CONST, VOLATILE, RESTRICT, TYPEDEF] {
        wrapped = blob.add(kind, if kind == TYPEDEF { "inner_t" } else { "" }, 0, wrapped, &[]);
    }
    let pointer = blob.pointer(inner);
    blob.union("outer", 32, &[("in", wrapped, 128), ("p", pointer, 64)]);
    assert_eq!(ask(&blob, "outer", "in"), Ok((16, 8)));
    assert_eq!(ask(&blob, "outer", "in.x"), Ok((20, 4)));
    assert_eq!(ask(&blob, "outer", "in.y"), Err(missing("outer", "in.y")));
    let behind = |path: &str, member: &str| BtfError::NotAStruct {
        structure: "outer".into(),
        path: path.into(),
        member: member.into(),
    };
    assert_eq!(ask(&blob, "outer", "p.x"), Err(behind("p.x", "p")));
    assert_eq!(ask(&blob, "outer", "in.x.y"), Err(behind("in.x.y", "x")));
}

#[test]
fn names_are_compared_whole() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    blob.structure("sock_common", 4, &[("pid_ns", int, 0)]);
    assert_eq!(ask(&blob, "sock", "pid_ns"), Err(BtfError::MissingStruct { name: "sock".into() }));
    assert_eq!(ask(&blob, "sock_common", "pid"), Err(missing("sock_common", "pid")));
    assert_eq!(ask(&blob, "sock_common", "pid_ns_"), Err(missing("sock_common", "pid_ns_")));
}

#[test]
fn bit_fields_are_refused_and_their_neighbours_are_not() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    let flagged =
        blob.flagged("f", 12, &[("", int, 0, 3), ("b", int, 3, 5), ("w", int, 32, 8), ("n", int, 64, 0)]);
    // Before kind flags a bit-field was an integer with fewer bits than its bytes.
    let three = blob.add(INT, "int", 0, 4, &[3]);
    let shifted = blob.add(INT, "int", 0, 4, &[(8 << 16) | 32]);
    blob.structure("old", 12, &[("b", three, 0), ("odd", int, 3), ("n", int, 32), ("s", shifted, 64)]);
    blob.structure("outer", 16, &[("f", flagged, 32)]);
    let refused = |structure: &str, path: &str| {
        Err(BtfError::BitField { structure: structure.into(), path: path.into() })
    };
    assert_eq!(ask(&blob, "f", "b"), refused("f", "b"));
    assert_eq!(ask(&blob, "f", "w"), refused("f", "w"));
    assert_eq!(ask(&blob, "f", "n"), Ok((8, 4)));
    assert_eq!(ask(&blob, "outer", "f.b"), refused("outer", "f.b"));
    assert_eq!(ask(&blob, "outer", "f.n"), Ok((12, 4)));
    for path in ["b", "odd", "s"] {
        assert_eq!(ask(&blob, "old", path), refused("old", path));
    }
    assert_eq!(ask(&blob, "old", "n"), Ok((4, 4)));
}

#[test]
fn the_first_definition_with_the_member_counts() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    blob.add(FWD, "twice", 0, 0, &[]);
    blob.structure("twice", 0, &[]);
    blob.add(TYPEDEF, "twice", 0, int, &[]);
    blob.structure("twice", 8, &[("a", int, 0)]);
    blob.structure("twice", 12, &[("a", int, 32), ("b", int, 64)]);
    assert_eq!(ask(&blob, "twice", "a"), Ok((0, 4)));
    assert_eq!(ask(&blob, "twice", "b"), Ok((8, 4)));
    assert_eq!(ask(&blob, "twice", "c"), Err(missing("twice", "c")));

    let mut declared = Blob::new();
    declared.add(FWD, "gone", 0, 0, &[]);
    assert_eq!(ask(&declared, "gone", "a"), Err(BtfError::MissingStruct { name: "gone".into() }));
}

#[test]
fn cycles_end() {
    let mut blob = Blob::new();
    let itself = blob.add(TYPEDEF, "itself", 0, 1, &[]);
    blob.structure("s", 8, &[("loop", itself, 0), ("", itself, 0), ("a", 4, 32)]);
    // A structure that contains itself twice without a name: a search of 2^depth steps.
    blob.structure("t", 8, &[("", 3, 0), ("", 3, 0)]);
    blob.int("int", 4);
    // An array of itself.
    blob.array(5, 2);
    blob.structure("u", 8, &[("a", 5, 0)]);
    for (structure, path) in [("s", "loop"), ("s", "a"), ("s", "loop.x"), ("t", "a"), ("u", "a")] {
        let expected = BtfError::TooComplex { structure: structure.into(), path: path.into() };
        assert_eq!(ask(&blob, structure, path), Err(expected), "{structure}.{path}");
    }
}

#[test]
fn wide_nesting_ends() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    let mut level = blob.structure("", 4, &[("x", int, 0)]);
    for _ in 0..30 {
        level = blob.structure("", 4, &[("", level, 0), ("", level, 0)]);
    }
    blob.structure("s", 4, &[("", level, 0)]);
    let expected = BtfError::TooComplex { structure: "s".into(), path: "a".into() };
    assert_eq!(ask(&blob, "s", "a"), Err(expected));
}
