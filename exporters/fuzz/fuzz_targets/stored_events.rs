//! Any bytes as a stored record, also with the right version and checksum: no panic, and what is read can be written and
//! read again.
#![no_main]

use convis_exporters::storage::codec::{decode, encode};
use flate2::Crc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _refused = decode(body);
    let mut crc = Crc::new();
    crc.update(body);
    let record = [&[1][..], &crc.sum().to_le_bytes(), body].concat();
    if let Ok(batch) = decode(&record) {
        let again = decode(&encode(&batch.events)).map(|batch| batch.events);
        assert_eq!(again, Ok(batch.events));
    }
});
