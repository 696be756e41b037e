//! Whether the ledger takes kernel memory for each connection as it opens, or for all of them at start.
//!
//! Programs of tracing may only make entries of a hash map as they need them where the kernel has an allocator that is
//! safe in every context, since 6.1: earlier kernels refuse it or warn. Such a map is declared by a flag, and the loader
//! takes flags from the object alone.

use std::mem::offset_of;

use aya::bpf_map_def;
use convis_ebpf::btf::Btf;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;

/// Whether the kernel's hash maps have that allocator, which distributions have also brought to older versions.
pub(super) fn is_safe(kernel: &Btf<'_>) -> bool {
    kernel.field("bpf_htab", "ma").is_ok()
}

/// `object` with `map` made on demand; `None` if it declares no such map.
pub(super) fn declared(object: &[u8], map: &str) -> Option<Vec<u8>> {
    let at = flags_of(object, map)?;
    let mut changed = object.to_vec();
    let flags = changed.get_mut(at..)?.first_chunk_mut::<4>()?;
    *flags = (u32::from_le_bytes(*flags) | NO_PREALLOC).to_le_bytes();
    Some(changed)
}

/// Where in the file the flags of the map's definition are.
fn flags_of(object: &[u8], map: &str) -> Option<usize> {
    let file = object::File::parse(object).ok()?;
    let symbol = file.symbol_by_name(map)?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let (start, _) = section.file_range()?;
    usize::try_from(start + symbol.address()).ok()?.checked_add(offset_of!(bpf_map_def, map_flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the object with the ledger made on demand.
    /// Guarantees: one bit of the whole file is another, in the definition of a hash map with the ledger's key and value.
    #[test]
    fn changes_one_bit() {
        let before = convis_ebpf::object();
        let after = declared(before, "CONNS").unwrap();
        let changed: Vec<_> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        assert_eq!((before.len(), changed.len()), (after.len(), 1));
        assert_eq!(before[changed[0]] ^ after[changed[0]], 1);
        let definition = changed[0] - offset_of!(bpf_map_def, map_flags);
        let words: Vec<_> = before[definition..definition + 20]
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
            .collect();
        let hash = 1;
        let entry = size_of::<convis_ebpf::wire::Entry>();
        assert_eq!(words[..3], [hash, 8, u32::try_from(entry).unwrap()]);
    }

    /// Scenario: a map that is not there, and bytes that are no object.
    /// Guarantees: nothing is changed.
    #[test]
    fn refuses_what_is_not_there() {
        assert_eq!(declared(convis_ebpf::object(), "NO_SUCH_MAP"), None);
        assert_eq!(declared(b"no object", "CONNS"), None);
    }
}
