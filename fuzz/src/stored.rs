//! Events in a store on disk.

use convis_exporters::storage::codec::{decode, encode};
use flate2::Crc;

/// A stored record, also with the right version and checksum: what is read can be written and read again.
pub fn stored_events(body: &[u8]) {
    let _refused = decode(body);
    let mut crc = Crc::new();
    crc.update(body);
    let record = [&[1][..], &crc.sum().to_le_bytes(), body].concat();
    if let Ok(batch) = decode(&record) {
        let again = decode(&encode(&batch.events)).map(|batch| batch.events);
        assert_eq!(again, Ok(batch.events));
    }
}
