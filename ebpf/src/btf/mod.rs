//! Where the fields of kernel structures are, read from the kernel's own description of its types (BTF).
//!
//! The programs are compiled once and run on many kernels, whose structures differ by version and
//! configuration. `/sys/kernel/btf/vmlinux` describes the running one. This is a walker over those bytes that
//! answers one question, "where in this structure is this member and how large is it", and refuses by name
//! whatever it cannot answer. It borrows the bytes, reads each record once, and neither panics nor takes long on
//! any input.

mod error;
mod raw;
mod walk;

#[cfg(test)]
mod tests;

pub use error::BtfError;
pub use raw::{Kind, Member, Type};

use raw::{RECORD_LEN, Sections};
use walk::Walk;

/// Where the running kernel describes its types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// A parsed BTF.
#[derive(Debug, Clone)]
pub struct Btf<'a> {
    sections: Sections<'a>,
    /// Byte of the type section at which type `i + 1` starts.
    starts: Vec<u32>,
    /// Structures and unions that have a name and members: hash of the name and number, sorted.
    named: Vec<(u32, u32)>,
}

/// Where a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the structure that the question named.
    pub offset: u32,
    /// Bytes of the member's type: 8 for a pointer, 0 for an array without a length.
    pub size: u32,
}

impl<'a> Btf<'a> {
    /// Reads the header and finds every type.
    ///
    /// # Errors
    /// The bytes are no little-endian BTF of version 1, a section or record is not whole, or a type is of an
    /// unknown kind and there is no layout section to tell its length.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let sections = Sections::parse(bytes)?;
        // A record with its data takes 25 bytes on average in a kernel.
        let mut starts = Vec::with_capacity(sections.types.len() / (2 * RECORD_LEN));
        let mut named = Vec::new();
        let (mut at, mut id) = (0_usize, 0_u32);
        while at < sections.types.len() {
            id = id.saturating_add(1);
            let found = sections.type_at(id, at)?;
            // The format counts bytes in 32 bits, so that this never saturates.
            starts.push(u32::try_from(at).unwrap_or(u32::MAX));
            if found.kind.has_members() && !found.extra.is_empty() && found.name_off != 0 {
                named.push((hash(sections.name_onwards(found.name_off)), id));
            }
            at += RECORD_LEN + found.extra.len();
        }
        named.sort_unstable();
        Ok(Self { sections, starts, named })
    }

    /// Where `structure` has the member `path`. A path descends by value through named members; anonymous
    /// structures and unions are looked through as in C, and so are typedefs, qualifiers and tags. Of several
    /// definitions of one name the first that has the member counts; declarations without members never do.
    ///
    /// # Errors
    /// The structure or the member is missing, is a bit-field, or lies behind a pointer; or the BTF is malformed.
    pub fn field(&self, structure: &str, path: &str) -> Result<Field, BtfError> {
        Walk::new(self, structure, path).field()
    }

    /// Where `structure` has the bit-field `path` of one bit: bits from the start of the structure.
    ///
    /// # Errors
    /// The structure or the member is missing, or is no bit-field of one bit; or the BTF is malformed.
    pub fn bit(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        Walk::new(self, structure, path).bit()
    }

    /// Structures and unions of that name that have members, in the order of their numbers.
    pub fn definitions<'b>(&'b self, name: &'b str) -> impl Iterator<Item = Type<'a>> + use<'a, 'b> {
        let wanted = hash(name.as_bytes());
        let first = self.named.partition_point(|(hash, _)| *hash < wanted);
        let candidates = self.named.get(first..).unwrap_or_default().iter();
        candidates
            .take_while(move |(hash, _)| *hash == wanted)
            .filter_map(|(_, id)| self.get(*id).ok())
            .filter(move |found| self.is_named(found.name_off, name))
    }

    /// The type of that number.
    ///
    /// # Errors
    /// There is none: the number is 0, which is `void`, or too large.
    pub fn get(&self, id: u32) -> Result<Type<'a>, BtfError> {
        let start = (id as usize).checked_sub(1).and_then(|i| self.starts.get(i));
        let start = start.ok_or(BtfError::Malformed { id, what: "it is referred to but not there" })?;
        self.sections.type_at(id, *start as usize)
    }

    /// The name that starts there, without its final zero byte.
    pub fn name(&self, name_off: u32) -> &'a [u8] {
        let rest = self.sections.name_onwards(name_off);
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn is_named(&self, name_off: u32, name: &str) -> bool {
        let rest = self.sections.name_onwards(name_off).strip_prefix(name.as_bytes());
        rest.and_then(<[u8]>::first) == Some(&0)
    }

    fn is_anonymous(&self, name_off: u32) -> bool {
        name_off == 0 || self.sections.name_onwards(name_off).first().is_none_or(|byte| *byte == 0)
    }
}

/// FNV-1a of the bytes before the first zero. Only the first 64 count, so that a section without zero bytes
/// costs no more than any other; equal hashes are always followed by a comparison.
fn hash(name: &[u8]) -> u32 {
    let bytes = name.iter().take(64).take_while(|byte| **byte != 0);
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
