//! The requests and answers of connection tracking.

use std::net::{IpAddr, SocketAddr};

use super::netlink::{Attributes, Request};

/// `NFNL_SUBSYS_CTNETLINK`, the high byte of the message types.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`: an entry.
pub(super) const ENTRY: u16 = SUBSYSTEM;
const GET_ENTRY: u16 = SUBSYSTEM | 1;
/// `IPCTNL_MSG_CT_GET_STATS`, the request and its answer.
pub(super) const STATS: u16 = SUBSYSTEM | 5;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// Where segments of a TCP connection come from and go to, in one direction. Both of one family, without scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

impl Tuple {
    /// `None` if the two are not of one family. IPv4 in IPv6 is IPv4, as on the wire.
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Option<Self> {
        let bare = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let (from, to) = (bare(from), bare(to));
        (from.is_ipv4() == to.is_ipv4()).then_some(Self { from, to })
    }

    /// The other direction, if nothing is translated.
    pub(super) const fn reversed(self) -> Self {
        Self { from: self.to, to: self.from }
    }

    const fn family(self) -> u8 {
        if self.from.is_ipv4() { AF_INET } else { AF_INET6 }
    }

    fn write(self, request: &mut Request) {
        request.nested(CTA_TUPLE_IP, |request| {
            for (address, v4, v6) in
                [(self.from, CTA_IP_V4_SRC, CTA_IP_V6_SRC), (self.to, CTA_IP_V4_DST, CTA_IP_V6_DST)]
            {
                match address.ip() {
                    IpAddr::V4(address) => request.attribute(v4, &address.octets()),
                    IpAddr::V6(address) => request.attribute(v6, &address.octets()),
                }
            }
        });
        request.nested(CTA_TUPLE_PROTO, |request| {
            request.attribute(CTA_PROTO_NUM, &[IPPROTO_TCP]);
            request.attribute(CTA_PROTO_SRC_PORT, &self.from.port().to_be_bytes());
            request.attribute(CTA_PROTO_DST_PORT, &self.to.port().to_be_bytes());
        });
    }

    fn read(attributes: &Attributes<'_>) -> Option<Self> {
        let addresses = attributes.within(CTA_TUPLE_IP)?;
        let protocol = attributes.within(CTA_TUPLE_PROTO)?;
        if protocol.array(CTA_PROTO_NUM)? != [IPPROTO_TCP] {
            return None;
        }
        let end = |v4, v6, port| {
            let address = match addresses.array::<4>(v4) {
                Some(octets) => IpAddr::from(octets),
                None => IpAddr::from(addresses.array::<16>(v6)?),
            };
            Some(SocketAddr::new(address, u16::from_be_bytes(protocol.array(port)?)))
        };
        Self::new(
            end(CTA_IP_V4_SRC, CTA_IP_V6_SRC, CTA_PROTO_SRC_PORT)?,
            end(CTA_IP_V4_DST, CTA_IP_V6_DST, CTA_PROTO_DST_PORT)?,
        )
    }
}

/// Asks for the entry of a connection.
pub(super) fn ask_entry(request: &mut Request, sequence: u32, original: Tuple) {
    request.begin(GET_ENTRY, sequence, original.family());
    request.nested(CTA_TUPLE_ORIG, |request| original.write(request));
}

/// Asks how many entries there are in this namespace.
pub(super) fn ask_stats(request: &mut Request, sequence: u32) {
    request.begin(STATS, sequence, 0);
}

/// Both directions of an entry: the client's and the server's. Status bits add nothing to them.
pub(super) fn read_entry(attributes: &Attributes<'_>) -> Option<(Tuple, Tuple)> {
    let direction = |kind| Tuple::read(&attributes.within(kind)?);
    Some((direction(CTA_TUPLE_ORIG)?, direction(CTA_TUPLE_REPLY)?))
}

/// How many entries there are.
pub(super) fn read_stats(attributes: &Attributes<'_>) -> Option<u32> {
    attributes.array(CTA_STATS_GLOBAL_ENTRIES).map(u32::from_be_bytes)
}

/// An entry as the kernel would send it.
#[cfg(test)]
pub(super) fn write_entry(message: &mut Request, sequence: u32, original: Tuple, reply: Tuple) {
    message.begin(ENTRY, sequence, original.family());
    message.nested(CTA_TUPLE_ORIG, |message| original.write(message));
    message.nested(CTA_TUPLE_REPLY, |message| reply.write(message));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::netlink::{Answer, read};
    use super::*;

    fn tuple(from: &str, to: &str) -> Tuple {
        Tuple::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn attributes(message: &[u8], sequence: u32, kind: u16) -> Attributes<'_> {
        match read(message, sequence) {
            Ok(Some(Answer::Message(found, attributes))) if found == kind => attributes,
            other => panic!("{other:?}"),
        }
    }

    const REQUEST_V4: &str = "
        48000000 0101 0100 03000000 00000000 02000000
        3400 0180 1400 0180 08000100 0a5b0201 08000200 0a600001
        1c00 0280 05000100 06000000 06000200 9c400000 06000300 00510000";
    const REQUEST_V6: &str = "
        60000000 0101 0100 03000000 00000000 0a000000 4c00 0180
        2c00 0180 14000300 fd910002 00000000 00000000 00000001 14000400 fd960000 00000000 00000000 00000001
        1c00 0280 05000100 06000000 06000200 9c400000 06000300 00500000";
    /// Linux 6.18: source and destination translated.
    const ENTRY_V4: &str = "
        d4000000 0001 0200 03000000 5a6a0000 02000000
        3400 0180 1400 0180 08000100 0a5b0201 08000200 0a600001
        1c00 0280 05000100 06000000 06000200 9c400000 06000300 00510000
        3400 0280 1400 0180 08000100 0a5b0202 08000200 0a5b0209
        1c00 0280 05000100 06000000 06000200 1f910000 06000300 51a20000
        08000300 000001be 08000800 00000000 08000c00 c09e4856 08000b00 00000002 08000700 0006977e
        3000 0480 2c00 0180 05000100 03000000 05000200 0a000000 05000300 0a000000 06000400 23000000 06000500 23000000";
    /// Linux 6.18: destination translated.
    const ENTRY_V6: &str = "
        04010000 0001 0200 03000000 5e6a0000 0a000000 4c00 0180
        2c00 0180 14000300 fd910002 00000000 00000000 00000001 14000400 fd960000 00000000 00000000 00000001
        1c00 0280 05000100 06000000 06000200 9c400000 06000300 00500000 4c00 0280
        2c00 0180 14000300 fd910002 00000000 00000000 00000002 14000400 fd910002 00000000 00000000 00000001
        1c00 0280 05000100 06000000 06000200 1f900000 06000300 9c400000
        08000300 000001ae 08000800 00000000 08000c00 c90f9690 08000b00 00000002 08000700 0006977f
        3000 0480 2c00 0180 05000100 03000000 05000200 0a000000 05000300 0a000000 06000400 23000000 06000500 23000000";
    /// Linux 6.18: three entries.
    const STATISTICS: &str =
        "24000000 0501 0200 01000000 5a6a0000 00000000 08000100 00000003 08000200 00040000";

    fn v4() -> (Tuple, Tuple) {
        (tuple("10.91.2.1:40000", "10.96.0.1:81"), tuple("10.91.2.2:8081", "10.91.2.9:20898"))
    }

    fn v6() -> (Tuple, Tuple) {
        (tuple("[fd91:2::1]:40000", "[fd96::1]:80"), tuple("[fd91:2::2]:8080", "[fd91:2::1]:40000"))
    }

    /// Scenario: what a kernel was asked and what it answered, for both families.
    /// Guarantees: the same bytes are sent, and the same entries read.
    #[test]
    fn speaks_as_the_kernel_does() {
        let mut request = Request::default();
        for ((original, reply), asked, entry) in
            [(v4(), REQUEST_V4, ENTRY_V4), (v6(), REQUEST_V6, ENTRY_V6), (v4(), REQUEST_V4, ENTRY_V4)]
        {
            ask_entry(&mut request, 3, original);
            assert_eq!(request.finish(), bytes(asked));
            assert_eq!(read_entry(&attributes(&bytes(entry), 3, ENTRY)), Some((original, reply)));
        }
        ask_stats(&mut request, 1);
        assert_eq!(request.finish(), bytes("14000000 0501 0100 01000000 00000000 00000000"));
        assert_eq!(read_stats(&attributes(&bytes(STATISTICS), 1, STATS)), Some(3));
    }

    /// Scenario: answers cut short anywhere, with the length that they have then.
    /// Guarantees: nothing, or the entry once both directions are whole.
    #[test]
    fn reads_no_half_entries() {
        for ((original, reply), entry) in [(v4(), ENTRY_V4), (v6(), ENTRY_V6)] {
            let whole = bytes(entry);
            for length in 20..whole.len() {
                let mut cut = whole[..length].to_vec();
                cut[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
                let found = read_entry(&attributes(&cut, 3, ENTRY));
                assert!(found.is_none() || found == Some((original, reply)), "{length}: {found:?}");
            }
        }
    }

    /// Scenario: the entry of a UDP flow, and of one whose ends are of two families.
    /// Guarantees: they are none.
    #[test]
    fn reads_only_tcp_of_one_family() {
        let udp = ENTRY_V4.replace("05000100 06000000", "05000100 11000000");
        assert_eq!(read_entry(&attributes(&bytes(&udp), 3, ENTRY)), None);
        assert_eq!(Tuple::new("10.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()), None);
    }

    proptest! {
        /// Scenario: any connection.
        /// Guarantees: what is asked for can be read again.
        #[test]
        fn asks_for_any_connection(from: SocketAddr, to: SocketAddr, sequence: u32) {
            if let Some(tuple) = Tuple::new(from, to) {
                let mut request = Request::default();
                ask_entry(&mut request, sequence, tuple);
                let asked = attributes(request.finish(), sequence, GET_ENTRY);
                prop_assert_eq!(Tuple::read(&asked.within(CTA_TUPLE_ORIG).unwrap()), Some(tuple));
            }
        }

        /// Scenario: the answer of a kernel with any bytes changed.
        /// Guarantees: no panic.
        #[test]
        fn survives_changed_entries(changes in proptest::collection::vec((20_usize..212, any::<u8>()), 1..8)) {
            let mut entry = bytes(ENTRY_V4);
            for (at, byte) in changes {
                entry[at] = byte;
            }
            let _ = read_entry(&attributes(&entry, 3, ENTRY));
        }
    }
}
