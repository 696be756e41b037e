//! The walker ends, quickly and without a panic, on bytes that nobody checked.

use convis_ebpf::btf::Btf;
use proptest::prelude::*;

const SOUND: &[u8] = include_bytes!("../testdata/btf/6.12.btf");

const QUESTIONS: &[(&str, &str)] = &[
    ("sock", "__sk_common.skc_v6_daddr"),
    ("tcp_sock", "inet_conn.icsk_inet.sk.__sk_common.skc_num"),
    ("task_struct", "start_boottime"),
    ("task_struct", "no_such_member"),
    ("file", "f_path.dentry"),
];

/// Parses and asks; the answers do not matter.
fn ask(bytes: &[u8]) {
    if let Ok(btf) = Btf::parse(bytes) {
        for (structure, path) in QUESTIONS {
            let _answer = btf.field(structure, path);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        ask(&bytes);
    }

    /// A sound header, then arbitrary records of few kinds with small numbers: what refers to each other.
    #[test]
    fn arbitrary_records(
        words in prop::collection::vec(
            prop_oneof![0_u32..40, (0_u32..24, 0_u32..4, any::<bool>()).prop_map(|(kind, count, flag)| {
                (kind << 24) | count | (u32::from(flag) << 31)
            })],
            0..600,
        ),
    ) {
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let strings = b"\0sock\0file\0f_path\0dentry\0";
        let (types_len, strings_len) = (u32::try_from(types.len())?, u32::try_from(strings.len())?);
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        bytes.extend([24, 0, types_len, types_len, strings_len].iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(types);
        bytes.extend(strings);
        ask(&bytes);
    }

    #[test]
    fn cut_short(len in 0..SOUND.len()) {
        prop_assert!(Btf::parse(&SOUND[..len]).is_err());
    }

    #[test]
    fn a_few_bytes_changed(changes in prop::collection::vec((0..SOUND.len(), any::<u8>()), 1..40)) {
        let mut bytes = SOUND.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        ask(&bytes);
    }

    /// Changes that leave every record's length alone, so that the questions meet them.
    #[test]
    fn references_changed(changes in prop::collection::vec((any::<prop::sample::Index>(), 0_u32..4000), 1..200)) {
        let mut bytes = SOUND.to_vec();
        let mut references = Vec::new();
        let btf = Btf::parse(SOUND)?;
        let start_of = |part: &[u8]| part.as_ptr().addr() - SOUND.as_ptr().addr();
        for found in (1..).map_while(|id| btf.get(id).ok()) {
            if found.kind.is_modifier() {
                references.push(start_of(found.extra) - 4);
            }
            references.extend((0..found.members().count()).map(|i| start_of(found.extra) + 12 * i + 4));
        }
        for (index, type_id) in changes {
            let at = *index.get(&references);
            bytes[at..at + 4].copy_from_slice(&type_id.to_le_bytes());
        }
        ask(&bytes);
    }
}
