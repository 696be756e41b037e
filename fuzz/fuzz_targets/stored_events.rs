#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| convis_fuzz::stored_events(bytes));
