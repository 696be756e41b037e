//! Resolves the members that the programs read in the running kernel's BTF.

use std::fmt;

use crate::btf::{Btf, BtfError, Field};
use crate::layout::{ABSENT, FIELDS, WANTED, WINDOW_BYTES, Wanted};

/// Why one member cannot be read on this kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// It is not there, or not as a plain member.
    #[error("{0}")]
    Btf(#[from] BtfError),
    /// It is smaller than what is read of it.
    #[error("{structure}.{path} has {found} bytes, {wanted} are read")]
    TooSmall {
        /// Structure.
        structure: &'static str,
        /// Member.
        path: &'static str,
        /// Bytes it has.
        found: u32,
        /// Bytes that are read.
        wanted: u32,
    },
}

/// Everything that keeps the programs, or some of them, from running on this kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutError {
    /// One for each member, in the order of the layout.
    pub members: Vec<MemberError>,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.members.iter().map(ToString::to_string).collect();
        f.write_str(&members.join("; "))
    }
}

impl std::error::Error for LayoutError {}

/// Byte offsets in the order of the object's `LAYOUT`, [`ABSENT`] for optional members this kernel lacks.
///
/// # Errors
/// Members that are needed are missing or too small; never an offset of zero in their place.
pub fn resolve(btf: &Btf<'_>) -> Result<[u32; FIELDS], LayoutError> {
    let mut offsets = [ABSENT; FIELDS];
    let mut members = Vec::new();
    for (offset, wanted) in offsets.iter_mut().zip(WANTED) {
        match resolve_one(btf, wanted) {
            Ok(found) => *offset = found,
            Err(error) => members.push(error),
        }
    }
    if members.is_empty() { Ok(offsets) } else { Err(LayoutError { members }) }
}

/// Whether the kernel of these offsets, which [`resolve`] gave, has optional members, each by structure and path.
///
/// # Errors
/// Each that is absent, or that is none of the layout's.
pub fn require(offsets: &[u32; FIELDS], members: &[(&'static str, &'static str)]) -> Result<(), LayoutError> {
    let is_there = |member: &&(&str, &str)| {
        let mut found = offsets.iter().zip(WANTED);
        found.any(|(offset, wanted)| (wanted.structure, wanted.path) == **member && *offset != ABSENT)
    };
    let absent = members.iter().filter(|member| !is_there(member)).map(|(structure, path)| {
        MemberError::Btf(BtfError::MissingField {
            structure: (*structure).to_owned(),
            path: (*path).to_owned(),
        })
    });
    let members: Vec<_> = absent.collect();
    if members.is_empty() { Ok(()) } else { Err(LayoutError { members }) }
}

/// Members of a `tcp_sock` that are read only where a connection's beginning was not seen, or of the kernel's own sockets.
const RARELY_READ: [&str; 3] = ["bytes_sent", "bytes_retrans", "is_mptcp"];

/// Start of the window of a `tcp_sock` that holds most of the members at `offsets`, which [`resolve`] gave.
pub fn window_start(offsets: &[u32; FIELDS]) -> u32 {
    let members: Vec<(u32, u32)> = offsets
        .iter()
        .zip(WANTED)
        .filter(|(_, wanted)| wanted.structure == "tcp_sock" && !RARELY_READ.contains(&wanted.path))
        .map(|(offset, wanted)| (*offset, wanted.size))
        .collect();
    let held = |start: u32| {
        let window = start..=start + WINDOW_BYTES;
        members
            .iter()
            .filter(|(offset, size)| window.contains(offset) && window.contains(&(offset + size)))
            .count()
    };
    // Aligned, so that every member within keeps its own alignment.
    let starts = members.iter().map(|(offset, _)| offset & !7);
    starts.max_by_key(|start| (held(*start), std::cmp::Reverse(*start))).unwrap_or_default()
}

fn resolve_one(btf: &Btf<'_>, wanted: &'static Wanted) -> Result<u32, MemberError> {
    let Wanted { structure, path, size, optional, bit } = *wanted;
    let found = if bit {
        btf.bit(structure, path).map(|offset| Field { offset, size })
    } else {
        btf.field(structure, path)
    };
    match found {
        Ok(field) if field.size < size => {
            Err(MemberError::TooSmall { structure, path, found: field.size, wanted: size })
        }
        Ok(field) => Ok(field.offset),
        Err(error) if optional && error.is_absent() => Ok(ABSENT),
        Err(error) => Err(error.into()),
    }
}
