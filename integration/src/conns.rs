//! The kernel's side of convis's ledger, read and changed by hand: what a skipped program would leave cannot be had to order.

use std::collections::BTreeMap;

use aya::maps::{HashMap, Map, MapData, loaded_maps};
use convis_ebpf::wire::{self, Entry};

const BYTES: usize = size_of::<Entry>();
const FLAGS: usize = std::mem::offset_of!(Entry, conn) + std::mem::offset_of!(wire::Conn, flags);

/// The ledger of the convis that started last.
pub struct Conns(HashMap<MapData, u64, [u8; BYTES]>);

impl Conns {
    /// Finds it.
    pub fn find() -> Self {
        let maps = loaded_maps().flatten().filter(|map| map.name_as_str() == Some("CONNS"));
        let id = maps.map(|map| map.id()).max().expect("convis runs");
        let data = MapData::from_id(id).expect("root may open it");
        Self(HashMap::try_from(Map::HashMap(data)).expect("its layout"))
    }

    /// Its entries by their keys.
    pub fn entries(&self) -> BTreeMap<u64, Entry> {
        let parsed = |value: [u8; BYTES]| Entry::parse(&value).expect("an entry");
        self.0.iter().flatten().map(|(key, value)| (key, parsed(value))).collect()
    }

    /// Changes the [`wire::flag`]s of the entry under `key`.
    pub fn change_flags(&mut self, key: u64, change: impl FnOnce(u16) -> u16) {
        let mut value = self.0.get(&key, 0).expect("an entry under this key");
        let flags = change(u16::from_ne_bytes([value[FLAGS], value[FLAGS + 1]]));
        value[FLAGS..FLAGS + 2].copy_from_slice(&flags.to_ne_bytes());
        self.0.insert(key, value, 0).expect("there is room for what is there already");
    }
}
