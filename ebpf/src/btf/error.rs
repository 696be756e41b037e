//! Everything that can be wrong with a BTF or with a question to it, each by name.

/// Why a BTF could not be read or a field not be found in it.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum BtfError {
    /// The first two bytes are not the magic number.
    #[error("not BTF: it starts with {found:#06x} instead of 0xeb9f")]
    NotBtf {
        /// The first two bytes as a little-endian number.
        found: u16,
    },
    /// The magic number is there in big-endian order: a BTF of another machine.
    #[error("BTF of a big-endian kernel; only little-endian ones are read")]
    BigEndian,
    /// The format's version is not the only one ever published.
    #[error("BTF version {version}; only version 1 is known")]
    Version {
        /// The version byte of the header.
        version: u8,
    },
    /// A part reaches beyond the end of the bytes.
    #[error("BTF is cut short: its {part} ends at byte {end} of {len}")]
    Truncated {
        /// The header, a section, or the record of a type.
        part: &'static str,
        /// Where the part would end, in bytes from the start of what contains it.
        end: u64,
        /// How many bytes there are.
        len: u64,
    },
    /// A kind newer than this code, in a BTF without a layout section that says how long its records are.
    #[error("BTF type {id} is of kind {kind}, which is not known and not described by the BTF itself")]
    UnknownKind {
        /// Number of the type.
        id: u32,
        /// Number of the kind.
        kind: u8,
    },
    /// A record contradicts the format.
    #[error("BTF type {id} is malformed: {what}")]
    Malformed {
        /// Number of the type.
        id: u32,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No structure or union of that name has members.
    #[error("the kernel's BTF has no struct {name}")]
    MissingStruct {
        /// Name asked for.
        name: String,
    },
    /// The structure is there, the member is not.
    #[error("the kernel's struct {structure} has no field {path}")]
    MissingField {
        /// Structure asked for.
        structure: String,
        /// Path asked for.
        path: String,
    },
    /// The path goes on behind a member that has no members of its own, such as a pointer.
    #[error("{structure}.{path}: {member} is not a struct or union by value")]
    NotAStruct {
        /// Structure asked for.
        structure: String,
        /// Path asked for.
        path: String,
        /// The part of the path that has no members.
        member: String,
    },
    /// The member is a bit-field or does not start at a byte, so that no byte offset describes it.
    #[error("{structure}.{path} is a bit-field")]
    BitField {
        /// Structure asked for.
        structure: String,
        /// Path asked for.
        path: String,
    },
    /// A single bit was asked for, and the member is not one.
    #[error("{structure}.{path} is no bit-field of one bit")]
    NotABit {
        /// Structure asked for.
        structure: String,
        /// Path asked for.
        path: String,
    },
    /// The search was given up: far more nesting than any kernel has.
    #[error("{structure}.{path}: the BTF nests too deeply or repeats itself")]
    TooComplex {
        /// Structure asked for.
        structure: String,
        /// Path asked for.
        path: String,
    },
}

impl BtfError {
    /// Whether the BTF is sound and merely lacks what was asked for, as kernels of other versions and
    /// configurations do.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::MissingStruct { .. } | Self::MissingField { .. })
    }
}
