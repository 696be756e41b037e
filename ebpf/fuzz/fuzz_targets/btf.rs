//! Any bytes as a kernel's BTF. From `ebpf/`: `cargo +nightly fuzz run btf fuzz/corpus/btf testdata/btf`.
#![no_main]

use convis_ebpf::btf::Btf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _answer = Btf::parse(bytes).and_then(|btf| btf.field("file", "f_path.dentry"));
});
