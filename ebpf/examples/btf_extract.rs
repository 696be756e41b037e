//! Cuts a kernel's BTF down to named structures: `btf_extract <vmlinux.btf> <out.btf> [structure ...]`.
//!
//! A whole BTF has 3 to 6 MB; a test needs some 30 structures of it. What is kept answers every question about
//! them as the original does: all their members, and whatever these contain by value. Pointers lose their target,
//! enumerations their values, and everything else is left out. Definitions keep their order.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use convis_ebpf::btf::{Btf, Kind, Type};

const STRUCTURES: &[&str] = &[
    "cgroup",
    "cgroup_root",
    "cred",
    "css_set",
    "dentry",
    "fdtable",
    "file",
    "files_struct",
    "inet_connection_sock",
    "inet_sock",
    "inode",
    "kernfs_node",
    "mm_struct",
    "mount",
    "mptcp_sock",
    "net",
    "ns_common",
    "nsproxy",
    "path",
    "pid",
    "qstr",
    "request_sock",
    "signal_struct",
    "sock",
    "sock_common",
    "socket",
    "task_struct",
    "tcp_sock",
    "vfsmount",
];

/// Every pointer becomes this one, to `void`.
const POINTER: u32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, names @ ..] = args.as_slice() else {
        return Err("usage: btf_extract <vmlinux.btf> <out.btf> [structure ...]".into());
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let names = if names.is_empty() { STRUCTURES } else { names.as_slice() };
    let bytes = std::fs::read(input)?;
    let btf = Btf::parse(&bytes)?;
    let small = write(&btf, &needed(&btf, names)?)?;
    Btf::parse(&small)?;
    std::fs::write(output, small)?;
    Ok(())
}

/// The definitions of the names and all they contain by value, by number.
fn needed<'a>(btf: &Btf<'a>, names: &[&str]) -> Result<BTreeMap<u32, Type<'a>>, Box<dyn Error>> {
    let mut kept = BTreeMap::new();
    let mut open: Vec<u32> =
        names.iter().flat_map(|name| btf.definitions(name)).map(|found| found.id).collect();
    while let Some(id) = open.pop() {
        if id == 0 || kept.contains_key(&id) {
            continue;
        }
        let found = btf.get(id)?;
        kept.insert(id, found);
        if found.kind.is_modifier() {
            open.push(found.size_or_type);
        }
        open.extend(found.elements().map(|(element, _)| element));
        open.extend(found.members().map(|member| member.type_id));
    }
    Ok(kept)
}

fn write(btf: &Btf<'_>, kept: &BTreeMap<u32, Type<'_>>) -> Result<Vec<u8>, Box<dyn Error>> {
    let numbered = kept.values().filter(|found| found.kind != Kind::Ptr).map(|found| found.id);
    let numbers: HashMap<u32, u32> = numbered.zip(POINTER + 1..).collect();
    let number = |id: u32| numbers.get(&id).copied().unwrap_or(if id == 0 { 0 } else { POINTER });

    let mut strings = Strings::default();
    let mut types = Vec::new();
    record(&mut types, [0, info(2, 0, false), 0]);
    for found in kept.values().filter(|found| found.kind != Kind::Ptr) {
        let name = strings.add(btf.name(found.name_off))?;
        let target = if found.kind.is_modifier() { number(found.size_or_type) } else { found.size_or_type };
        let members = found.members().count();
        let kind = kind_number(found.kind)?;
        record(&mut types, [name, info(kind, u32::try_from(members)?, found.kind_flag), target]);
        match found.kind {
            Kind::Int => types.extend_from_slice(found.extra),
            Kind::Array => {
                let (element, elements) = found.elements().ok_or("an array without elements")?;
                // The type of the index says nothing about the layout; the element's is as good as any.
                record(&mut types, [number(element), number(element), elements]);
            }
            _ => {
                for member in found.members() {
                    let name = strings.add(btf.name(member.name_off))?;
                    let offset = member.bit_offset | (member.bit_field << 24);
                    record(&mut types, [name, number(member.type_id), offset]);
                }
            }
        }
    }
    let (types_len, strings_len) = (u32::try_from(types.len())?, u32::try_from(strings.bytes.len())?);
    let mut out = vec![0x9f, 0xeb, 1, 0];
    for value in [24, 0, types_len, types_len, strings_len] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&types);
    out.extend_from_slice(&strings.bytes);
    Ok(out)
}

fn record(out: &mut Vec<u8>, values: [u32; 3]) {
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn info(kind: u32, count: u32, flag: bool) -> u32 {
    count | (kind << 24) | (u32::from(flag) << 31)
}

fn kind_number(kind: Kind) -> Result<u32, Box<dyn Error>> {
    Ok(match kind {
        Kind::Int => 1,
        Kind::Array => 3,
        Kind::Struct => 4,
        Kind::Union => 5,
        Kind::Enum => 6,
        Kind::Typedef => 8,
        Kind::Volatile => 9,
        Kind::Const => 10,
        Kind::Restrict => 11,
        Kind::Float => 16,
        Kind::TypeTag => 18,
        Kind::Enum64 => 19,
        other => return Err(format!("{other:?} cannot be a member's type").into()),
    })
}

/// The string section: each name once, the empty one first.
struct Strings {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { bytes: vec![0], known: HashMap::from([(Vec::new(), 0)]) }
    }
}

impl Strings {
    fn add(&mut self, name: &[u8]) -> Result<u32, Box<dyn Error>> {
        if let Some(at) = self.known.get(name) {
            return Ok(*at);
        }
        let at = u32::try_from(self.bytes.len())?;
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.known.insert(name.to_vec(), at);
        Ok(at)
    }
}
