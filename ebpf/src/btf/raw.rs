//! The bytes of a BTF: header, sections, records of types.
//!
//! Format: `include/uapi/linux/btf.h` and `Documentation/bpf/btf.rst` of the kernel.

use super::BtfError;

const MAGIC: u16 = 0xeb9f;
/// Header up to and including `str_len`; since Linux 7.2 a layout section may follow.
const HEADER_LEN: usize = 24;
const HEADER_LEN_WITH_LAYOUT: usize = 32;
/// `struct btf_type`: name, info, size or type.
pub(super) const RECORD_LEN: usize = 12;
pub(super) const MEMBER_LEN: usize = 12;

/// What a type is: the numbers of `BTF_KIND_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the format's own")]
pub enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
    /// A kind newer than this code; its length comes from the layout section.
    Newer(u8),
}

impl Kind {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::Datasec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            newer => Self::Newer(newer),
        }
    }

    /// A structure or union: what has members.
    pub fn has_members(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// A type that only decorates or renames another one.
    pub fn is_modifier(self) -> bool {
        matches!(self, Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }

    /// Bytes that follow the record once, and bytes for each of its elements.
    fn extra(self) -> Option<(u64, u64)> {
        Some(match self {
            Self::Int | Self::Var | Self::DeclTag => (4, 0),
            Self::Array => (12, 0),
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => (0, 12),
            Self::Enum | Self::FuncProto => (0, 8),
            Self::Ptr
            | Self::Fwd
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Func
            | Self::Float
            | Self::TypeTag => (0, 0),
            Self::Newer(_) => return None,
        })
    }
}

/// The sections, each within the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sections<'a> {
    pub(super) types: &'a [u8],
    strings: &'a [u8],
    layout: &'a [u8],
}

impl<'a> Sections<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let truncated = |part, end| BtfError::Truncated { part, end, len: bytes.len() as u64 };
        let (Some(head), Some(magic)) = (bytes.get(..HEADER_LEN), bytes.first_chunk::<2>()) else {
            return Err(truncated("header", HEADER_LEN as u64));
        };
        match u16::from_le_bytes(*magic) {
            MAGIC => {}
            swapped if swapped.swap_bytes() == MAGIC => return Err(BtfError::BigEndian),
            found => return Err(BtfError::NotBtf { found }),
        }
        if let Some(&version) = head.get(2).filter(|version| **version != 1) {
            return Err(BtfError::Version { version });
        }
        let number = |at| u32_at(bytes, at).map_or(0, |number| number as usize);
        let header_len = number(4);
        let Some(body) = bytes.get(header_len..).filter(|_| header_len >= HEADER_LEN) else {
            return Err(truncated("header", header_len.max(HEADER_LEN) as u64));
        };
        let section = |part, at| {
            let (start, len) = (number(at), number(at + 4));
            let end = start as u64 + len as u64;
            body.get(start..)
                .and_then(|rest| rest.get(..len))
                .ok_or_else(|| truncated(part, header_len as u64 + end))
        };
        let layout = if header_len >= HEADER_LEN_WITH_LAYOUT { section("layout section", 24)? } else { &[] };
        Ok(Self { types: section("type section", 8)?, strings: section("string section", 16)?, layout })
    }

    /// The type at this byte of the type section; an error if its record is not whole.
    pub(super) fn type_at(&self, id: u32, at: usize) -> Result<Type<'a>, BtfError> {
        let truncated = |end| BtfError::Truncated { part: "type record", end, len: self.types.len() as u64 };
        let rest = self.types.get(at..).unwrap_or_default();
        let (Some(name_off), Some(info), Some(size_or_type)) =
            (u32_at(rest, 0), u32_at(rest, 4), u32_at(rest, 8))
        else {
            return Err(truncated((at + RECORD_LEN) as u64));
        };
        // Bits 16-23 and 29-30 were always zero before Linux 7.2 gave them to the count and the kind.
        let [_, _, _, top] = info.to_le_bytes();
        let (number, count) = (top & 0x7f, info & 0x00ff_ffff);
        let kind = Kind::from_number(number);
        let (once, each) = kind
            .extra()
            .or_else(|| self.described(number))
            .ok_or(BtfError::UnknownKind { id, kind: number })?;
        let len = once + each * u64::from(count);
        let extra = usize::try_from(len).ok().and_then(|len| rest.get(RECORD_LEN..)?.get(..len));
        let Some(extra) = extra else {
            return Err(truncated((at + RECORD_LEN) as u64 + len));
        };
        Ok(Type { id, kind, kind_flag: top & 0x80 != 0, name_off, size_or_type, extra })
    }

    /// What the layout section says of a kind: `{ u8 once, u8 each, u16 flags }` by kind.
    fn described(&self, kind: u8) -> Option<(u64, u64)> {
        let entry = self.layout.get(usize::from(kind) * 4..)?.first_chunk::<4>()?;
        Some((u64::from(entry[0]), u64::from(entry[1])))
    }

    /// The bytes from a name's start to the end of all names; empty when it lies outside.
    pub(super) fn name_onwards(&self, offset: u32) -> &'a [u8] {
        self.strings.get(offset as usize..).unwrap_or_default()
    }
}

/// One type: its record and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Type<'a> {
    /// Number by which other types refer to it; 0 is `void` and has no record.
    pub id: u32,
    /// What it is.
    pub kind: Kind,
    /// Structure, union: member offsets carry a bit-field size. Other kinds: see the format.
    pub kind_flag: bool,
    /// Where its name starts in the string section; 0 for none.
    pub name_off: u32,
    /// Bytes of a sized kind, number of the type referred to otherwise.
    pub size_or_type: u32,
    /// The kind's own data.
    pub extra: &'a [u8],
}

impl<'a> Type<'a> {
    /// Members of a structure or union, nothing for other kinds.
    pub fn members(&self) -> impl Iterator<Item = Member> + use<'a> {
        let (flag, extra) = (self.kind_flag, if self.kind.has_members() { self.extra } else { &[] });
        extra.chunks_exact(MEMBER_LEN).filter_map(move |bytes| {
            let offset = u32_at(bytes, 8)?;
            let (bit_offset, bit_field) =
                if flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            Some(Member { name_off: u32_at(bytes, 0)?, type_id: u32_at(bytes, 4)?, bit_offset, bit_field })
        })
    }

    /// Type and number of the elements of an array.
    pub fn elements(&self) -> Option<(u32, u32)> {
        (self.kind == Kind::Array).then(|| Some((u32_at(self.extra, 0)?, u32_at(self.extra, 8)?)))?
    }

    /// Whether an integer fills its bytes; before kind flags bit-fields were integers that do not.
    pub(super) fn fills_its_bytes(&self) -> bool {
        let encoding = u32_at(self.extra, 0).unwrap_or(0);
        let (offset, bits) = ((encoding >> 16) & 0xff, encoding & 0xff);
        self.kind != Kind::Int || (offset == 0 && u64::from(bits) == u64::from(self.size_or_type) * 8)
    }
}

/// One member of a structure or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Where its name starts in the string section; 0 for an anonymous one.
    pub name_off: u32,
    /// Number of its type.
    pub type_id: u32,
    /// Bits from the start of the structure.
    pub bit_offset: u32,
    /// Bits of a bit-field, 0 for an ordinary member.
    pub bit_field: u32,
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}
