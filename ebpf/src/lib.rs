//! Kernel programs of convis, the records they write, and the kernel layout they need.
//!
//! The programs (`kernel/`) are compiled ahead of time; this crate carries the object, so that `cargo build` needs
//! no eBPF toolchain. `wire` and `layout` are compiled into both sides.

pub mod btf;
pub mod layout;
pub mod offsets;
pub mod record;
pub mod wire;

#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../prebuilt/convis.bpf.o"));

/// The compiled programs: a little-endian eBPF ELF object, aligned for its reader.
///
/// The same for every architecture, as no program reads saved registers.
pub fn object() -> &'static [u8] {
    &OBJECT.0
}
