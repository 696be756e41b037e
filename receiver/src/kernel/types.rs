//! The kernel's types as aya asks for them: by the number of a function.
//!
//! aya keeps each of more than a hundred thousand types, which takes it longer than anything else here. All it looks up is a
//! few functions, so that is all that it is given, each with its number.

use convis_ebpf::btf::{Btf, Kind};

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
const HEADER_LEN: u32 = 24;
const FUNCTION: u32 = 12;
/// A declaration without a name: what stands for every other type, since it is the shortest.
const DECLARATION: u32 = 7;

/// The types of `kernel` in the same order, up to the last function called one of `names`. Only those are what they are.
pub(super) fn functions(kernel: &Btf<'_>, names: &[&str]) -> Vec<u8> {
    let (mut types, mut needed) = (Vec::new(), 0);
    let mut strings = vec![0];
    for found in (1..).map_while(|id| kernel.get(id).ok()) {
        let name = if found.kind == Kind::Func { kernel.name(found.name_off) } else { &[] };
        let is_wanted = names.iter().any(|wanted| wanted.as_bytes() == name);
        let (name_off, info) =
            if is_wanted { (length(&strings), FUNCTION << 24) } else { (0, DECLARATION << 24) };
        if is_wanted {
            strings.extend_from_slice(name);
            strings.push(0);
        }
        // What a function's type is, nobody asks.
        types.extend([name_off, info, 0].into_iter().flat_map(u32::to_le_bytes));
        if is_wanted {
            needed = types.len();
        }
    }
    types.truncate(needed);
    // Lengths: of the header; where the types begin after it, and of them; the same of the names.
    let sections = [HEADER_LEN, 0, length(&types), length(&types), length(&strings)];
    let [low, high] = MAGIC.to_le_bytes();
    let mut whole = vec![low, high, VERSION, 0];
    whole.extend(sections.into_iter().flat_map(u32::to_le_bytes));
    whole.append(&mut types);
    whole.append(&mut strings);
    whole
}

/// The format counts bytes in 32 bits.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use aya::{Btf as Types, Endianness};
    use aya_obj::btf::BtfKind;

    use super::*;

    /// Scenario: what the running kernel says of its types.
    /// Guarantees: every function asked for has the number that it has among all types, one that is not there has none, and
    /// nothing else has a name.
    #[test]
    fn numbers_stay() {
        let bytes = std::fs::read(convis_ebpf::btf::KERNEL_BTF).unwrap();
        let whole = Types::parse(&bytes, Endianness::default()).unwrap();
        let kernel = Btf::parse(&bytes).unwrap();
        let names =
            ["__inet_stream_connect", "bpf_iter_task_file", "bpf_iter_bpf_map_elem", "no_such_function"];
        let few = Types::parse(&functions(&kernel, &names), Endianness::default()).unwrap();
        let number = |types: &Types, name| types.id_by_type_name_kind(name, BtfKind::Func).ok();
        for name in names {
            assert_eq!(number(&few, name), number(&whole, name), "{name}");
        }
        assert!(number(&few, names[0]).is_some() && number(&few, names[3]).is_none());
        assert!(number(&whole, "tcp_close").is_some() && number(&few, "tcp_close").is_none());
    }
}
