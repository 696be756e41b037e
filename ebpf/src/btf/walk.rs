//! From a structure and a dotted path to an offset.

use super::raw::{Kind, Member, Type};
use super::{Btf, BtfError, Field};

/// Types passed through in a row, or anonymous structures inside each other. Kernels have fewer than ten; the
/// kernel's own limit for such chains is 32.
const MAX_DEPTH: u32 = 32;
/// Members and types looked at for one question. The largest structure of a kernel has about 300 members.
const MAX_STEPS: u32 = 1 << 16;
/// BTF does not say how wide a pointer is; every supported kernel is of 64 bits.
const POINTER_LEN: u64 = 8;

/// One question to a BTF, with what is left of the effort allowed for it.
pub(super) struct Walk<'b, 'a> {
    btf: &'b Btf<'a>,
    structure: &'b str,
    path: &'b str,
    steps: u32,
}

/// Where a member is, bit-fields included.
struct Place {
    /// Bits from the start of the structure.
    bits: u64,
    type_id: u32,
    /// Bits of a bit-field, else 0.
    width: u32,
}

impl<'b, 'a> Walk<'b, 'a> {
    pub(super) fn new(btf: &'b Btf<'a>, structure: &'b str, path: &'b str) -> Self {
        Self { btf, structure, path, steps: MAX_STEPS }
    }

    /// Where a field of whole bytes is.
    pub(super) fn field(&mut self) -> Result<Field, BtfError> {
        self.first_that(Self::field_in)
    }

    /// Where a bit-field of one bit is, in bits.
    pub(super) fn bit(&mut self) -> Result<u32, BtfError> {
        self.first_that(Self::bit_in)
    }

    /// The first definition that has the field answers; else the first one's error.
    fn first_that<T>(
        &mut self,
        answer: impl Fn(&mut Self, Type<'a>) -> Result<T, BtfError>,
    ) -> Result<T, BtfError> {
        let mut error = None;
        for definition in self.btf.definitions(self.structure) {
            match answer(self, definition) {
                Err(found @ BtfError::TooComplex { .. }) => return Err(found),
                Err(found) => error = error.or(Some(found)),
                Ok(found) => return Ok(found),
            }
        }
        Err(error.unwrap_or_else(|| BtfError::MissingStruct { name: self.structure.to_owned() }))
    }

    fn field_in(&mut self, definition: Type<'a>) -> Result<Field, BtfError> {
        let Place { bits, type_id, width } = self.place_in(definition)?;
        if width != 0 || bits % 8 != 0 || self.peel(type_id)?.is_some_and(|found| !found.fills_its_bytes()) {
            return Err(self.bit_field());
        }
        let too_large = |_| BtfError::Malformed { id: definition.id, what: "a member of more than 4 GiB" };
        Ok(Field {
            offset: u32::try_from(bits / 8).map_err(too_large)?,
            size: u32::try_from(self.size(type_id)?).map_err(too_large)?,
        })
    }

    fn bit_in(&mut self, definition: Type<'a>) -> Result<u32, BtfError> {
        let Place { bits, width, .. } = self.place_in(definition)?;
        if width != 1 {
            return Err(BtfError::NotABit {
                structure: self.structure.to_owned(),
                path: self.path.to_owned(),
            });
        }
        let too_large = |_| BtfError::Malformed { id: definition.id, what: "a member of more than 512 MiB" };
        u32::try_from(bits).map_err(too_large)
    }

    fn place_in(&mut self, definition: Type<'a>) -> Result<Place, BtfError> {
        let (mut bits, mut type_id, mut parent, mut width) = (0_u64, definition.id, self.structure, 0);
        for name in self.path.split('.') {
            if width != 0 {
                return Err(self.bit_field());
            }
            let Some(within) = self.peel(type_id)?.filter(|found| found.kind.has_members()) else {
                return Err(self.not_a_struct(parent));
            };
            let Some((start, member)) = self.find(&within, name, MAX_DEPTH)? else {
                return Err(self.missing());
            };
            bits += start + u64::from(member.bit_offset);
            (type_id, parent, width) = (member.type_id, name, member.bit_field);
        }
        Ok(Place { bits, type_id, width })
    }

    /// The member of that name, and the bits from the start of `within` to the anonymous structure it is in.
    fn find(&mut self, within: &Type<'a>, name: &str, depth: u32) -> Result<Option<(u64, Member)>, BtfError> {
        for member in within.members() {
            self.step()?;
            if !self.btf.is_anonymous(member.name_off) {
                if self.btf.is_named(member.name_off, name) {
                    return Ok(Some((0, member)));
                }
                continue;
            }
            // An unnamed member may well be of a named structure (`-fms-extensions`).
            let Some(inner) = self.peel(member.type_id)?.filter(|found| found.kind.has_members()) else {
                continue;
            };
            let depth = depth.checked_sub(1).ok_or_else(|| self.too_complex())?;
            if let Some((start, found)) = self.find(&inner, name, depth)? {
                return Ok(Some((start + u64::from(member.bit_offset), found)));
            }
        }
        Ok(None)
    }

    /// The type without typedefs, qualifiers and tags; `None` is `void`.
    fn peel(&mut self, mut id: u32) -> Result<Option<Type<'a>>, BtfError> {
        for _ in 0..MAX_DEPTH {
            self.step()?;
            if id == 0 {
                return Ok(None);
            }
            let found = self.btf.get(id)?;
            if !found.kind.is_modifier() {
                return Ok(Some(found));
            }
            id = found.size_or_type;
        }
        Err(self.too_complex())
    }

    /// Bytes that a value of the type takes.
    fn size(&mut self, mut id: u32) -> Result<u64, BtfError> {
        let mut count = 1_u64;
        for _ in 0..MAX_DEPTH {
            let unsized_type = BtfError::Malformed { id, what: "a member whose type has no size" };
            let found = self.peel(id)?.ok_or_else(|| unsized_type.clone())?;
            let size = match found.kind {
                Kind::Ptr => POINTER_LEN,
                Kind::Int | Kind::Float | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => {
                    u64::from(found.size_or_type)
                }
                Kind::Array => {
                    let (element, elements) = found.elements().unwrap_or_default();
                    (id, count) = (element, count.saturating_mul(u64::from(elements)));
                    continue;
                }
                _ => return Err(unsized_type),
            };
            return Ok(size.saturating_mul(count));
        }
        Err(self.too_complex())
    }

    fn step(&mut self) -> Result<(), BtfError> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| self.too_complex())?;
        Ok(())
    }

    fn missing(&self) -> BtfError {
        BtfError::MissingField { structure: self.structure.to_owned(), path: self.path.to_owned() }
    }

    fn bit_field(&self) -> BtfError {
        BtfError::BitField { structure: self.structure.to_owned(), path: self.path.to_owned() }
    }

    fn too_complex(&self) -> BtfError {
        BtfError::TooComplex { structure: self.structure.to_owned(), path: self.path.to_owned() }
    }

    fn not_a_struct(&self, member: &str) -> BtfError {
        let (structure, path) = (self.structure.to_owned(), self.path.to_owned());
        BtfError::NotAStruct { structure, path, member: member.to_owned() }
    }
}
