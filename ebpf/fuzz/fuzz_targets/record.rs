//! Any bytes as a record of the ring and as a value of the ledger. From `ebpf/`: `cargo +nightly fuzz run record`.
#![no_main]

use convis_ebpf::record::Record;
use convis_ebpf::wire::Entry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _answer = (Record::parse(bytes), Entry::parse(bytes));
});
