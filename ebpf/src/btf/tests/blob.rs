//! Builds small BTFs by hand.

pub(super) const INT: u32 = 1;
pub(super) const PTR: u32 = 2;
pub(super) const STRUCT: u32 = 4;
pub(super) const UNION: u32 = 5;
pub(super) const ENUM: u32 = 6;
pub(super) const FWD: u32 = 7;
pub(super) const TYPEDEF: u32 = 8;
pub(super) const VOLATILE: u32 = 9;
pub(super) const CONST: u32 = 10;
pub(super) const RESTRICT: u32 = 11;
pub(super) const FUNC: u32 = 12;
pub(super) const FUNC_PROTO: u32 = 13;
pub(super) const VAR: u32 = 14;
pub(super) const DATASEC: u32 = 15;
pub(super) const FLOAT: u32 = 16;
pub(super) const DECL_TAG: u32 = 17;
pub(super) const TYPE_TAG: u32 = 18;
pub(super) const ENUM64: u32 = 19;

/// A BTF in the making. Each method returns the number of the type that it adds.
pub(super) struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
    layout: Vec<u8>,
    count: u32,
}

impl Blob {
    pub(super) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], layout: Vec::new(), count: 0 }
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn string(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    /// Any record; `info` is the number of elements, with `1 << 31` for the kind flag.
    pub(super) fn add(&mut self, kind: u32, name: &str, info: u32, size_or_type: u32, extra: &[u32]) -> u32 {
        let name = self.string(name);
        self.words(&[name, info | (kind << 24), size_or_type]);
        self.words(extra);
        self.count += 1;
        self.count
    }

    pub(super) fn int(&mut self, name: &str, size: u32) -> u32 {
        self.add(INT, name, 0, size, &[size * 8])
    }

    pub(super) fn pointer(&mut self, to: u32) -> u32 {
        self.add(PTR, "", 0, to, &[])
    }

    pub(super) fn array(&mut self, of: u32, elements: u32) -> u32 {
        self.add(3, "", 0, 0, &[of, of, elements])
    }

    /// Members are name, type, offset in bits.
    pub(super) fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.aggregate(STRUCT, name, 0, size, members)
    }

    pub(super) fn union(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.aggregate(UNION, name, 0, size, members)
    }

    /// A structure with the kind flag; members are name, type, offset in bits, bits of a bit-field or 0.
    pub(super) fn flagged(&mut self, name: &str, size: u32, members: &[(&str, u32, u32, u32)]) -> u32 {
        let members: Vec<_> = members.iter().map(|&(n, t, at, bits)| (n, t, at | (bits << 24))).collect();
        self.aggregate(STRUCT, name, 1 << 31, size, &members)
    }

    fn aggregate(
        &mut self,
        kind: u32,
        name: &str,
        flag: u32,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let mut extra = Vec::new();
        for &(member, type_id, at) in members {
            extra.extend([self.string(member), type_id, at]);
        }
        let count = u32::try_from(members.len()).unwrap();
        self.add(kind, name, count | flag, size, &extra)
    }

    /// Adds the entry of a kind to the layout section, which the header then mentions.
    pub(super) fn describe(&mut self, kind: u8, once: u8, each: u8) {
        let at = usize::from(kind) * 4;
        self.layout.resize(self.layout.len().max(at + 4), 0);
        self.layout[at] = once;
        self.layout[at + 1] = each;
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let lens = [&self.types, &self.strings, &self.layout].map(|part| u32::try_from(part.len()).unwrap());
        let [types, strings, layout] = lens;
        let mut header = vec![if layout == 0 { 24 } else { 32 }, 0, types, types, strings];
        if layout != 0 {
            header.extend([types + strings, layout]);
        }
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        bytes.extend(header.iter().flat_map(|word: &u32| word.to_le_bytes()));
        bytes.extend([&*self.types, &*self.strings, &*self.layout].concat());
        bytes
    }
}
