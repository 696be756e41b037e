//! Links, addresses, routes, queues, policies and sockets of the caller's network namespace, by netlink.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::netdevice::name_to_index;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink, XFRM};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, recv, sendto, socket};

const REQUEST_ACK: u16 = 0x5;
const CREATE_EXCLUSIVELY: u16 = 0x600;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const NEW_NEIGHBOUR: u16 = 28;
const NEW_QUEUE: u16 = 36;
const IS_UP: u32 = 1;

/// A route that goes nowhere, with its number in `rtnetlink.h`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nowhere {
    /// `EHOSTUNREACH`
    Unreachable = 7,
    /// `EACCES`
    Prohibit = 8,
}

/// Takes a link up or down.
pub(super) fn set_up(link: &str, up: bool) -> io::Result<()> {
    let flags = if up { IS_UP } else { 0 };
    ask(NEW_LINK, 0, &link_head(index(link)?, flags, IS_UP))
}

/// Makes a pair of links, one here, the other in the network namespace of a process.
pub(super) fn make_pair(here: &str, there: &str, process: u32) -> io::Result<()> {
    let mut other = link_head(0, 0, 0);
    put(&mut other, 3, &named(there));
    put(&mut other, 19, &process.to_ne_bytes());
    let mut data = Vec::new();
    put(&mut data, 1, &other);
    let mut info = Vec::new();
    put(&mut info, 1, b"veth");
    put(&mut info, 2, &data);
    let mut body = link_head(0, 0, 0);
    put(&mut body, 3, &named(here));
    put(&mut body, 18, &info);
    ask(NEW_LINK, CREATE_EXCLUSIVELY, &body)
}

/// Gives a link an address.
pub(super) fn add_address(link: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    const WITHOUT_DUPLICATE_DETECTION: u8 = 2;
    let flags = if address.is_ipv6() { WITHOUT_DUPLICATE_DETECTION } else { 0 };
    let mut body = vec![family(address), prefix, flags, 0];
    body.extend(index(link)?.to_ne_bytes());
    put(&mut body, 2, &octets(address));
    put(&mut body, 1, &octets(address));
    ask(NEW_ADDRESS, CREATE_EXCLUSIVELY, &body)
}

/// Adds a route to one address that only tells why it cannot be reached.
pub(super) fn add_nowhere(to: IpAddr, why: Nowhere) -> io::Result<()> {
    const MAIN_TABLE: u8 = 254;
    const STATIC: u8 = 4;
    let bits = if to.is_ipv4() { 32 } else { 128 };
    let mut body = vec![family(to), bits, 0, 0, MAIN_TABLE, STATIC, 0, why as u8, 0, 0, 0, 0];
    put(&mut body, 1, &octets(to));
    ask(NEW_ROUTE, CREATE_EXCLUSIVELY, &body)
}

/// Says that a neighbour is at a hardware address where nobody is.
pub(super) fn add_silent_neighbour(link: &str, address: IpAddr) -> io::Result<()> {
    const PERMANENT: u16 = 0x80;
    const NOBODY: [u8; 6] = [2, 0, 0, 0, 0, 9];
    let mut body = vec![family(address), 0, 0, 0];
    body.extend(index(link)?.to_ne_bytes());
    body.extend(PERMANENT.to_ne_bytes());
    body.extend([0, 0]);
    put(&mut body, 1, &octets(address));
    put(&mut body, 2, &NOBODY);
    ask(NEW_NEIGHBOUR, CREATE_EXCLUSIVELY, &body)
}

/// Lets a link send only so many bytes in a second, and drop what waits beyond `limit` bytes.
pub(super) fn add_bucket(link: &str, rate: u32, burst: u32, limit: u32) -> io::Result<()> {
    const ETHERNET: u8 = 1;
    let mut parameters = vec![0, ETHERNET, 0, 0, 0, 0, 0, 0];
    parameters.extend(rate.to_ne_bytes());
    parameters.extend([0; 12]);
    parameters.extend(limit.to_ne_bytes());
    parameters.extend([0; 8]);
    let mut options = Vec::new();
    put(&mut options, 1, &parameters);
    put(&mut options, 6, &burst.to_ne_bytes());
    add_queue(link, b"tbf\0", &options)
}

/// Delays what a link sends by so many microseconds, and drops one of `drop_one_in` packets unless that is 0.
pub(super) fn add_delay(link: &str, micros: u32, drop_one_in: u32) -> io::Result<()> {
    const NANOS_OF_A_TICK: u32 = 64;
    let latency = micros * 1000 / NANOS_OF_A_TICK;
    let loss = u32::MAX.checked_div(drop_one_in).unwrap_or(0);
    let fields = [latency, 10_000, loss, 0, 0, 0];
    let options: Vec<u8> = fields.into_iter().flat_map(u32::to_ne_bytes).collect();
    add_queue(link, b"netem\0", &options)
}

/// Blocks, by a policy, all that would go to an address.
pub(super) fn block_all(to: IpAddr) -> io::Result<()> {
    const NEW_POLICY: u16 = 19;
    const OUT: u8 = 1;
    const BLOCK: u8 = 1;
    const LIMITS: usize = 8;
    const COUNTERS: usize = 4;
    let bits = if to.is_ipv4() { 32 } else { 128 };
    let mut body = octets(to);
    body.resize(40, 0);
    body.extend(u16::from(family(to)).to_ne_bytes());
    body.extend([bits, 0, 0, 0, 0, 0]);
    body.extend([0; 8]);
    body.extend(u64::MAX.to_ne_bytes().repeat(LIMITS));
    body.extend([0; COUNTERS * 8]);
    body.extend([0; 8]);
    body.extend([OUT, BLOCK, 0, 0, 0, 0, 0, 0]);
    ask_of(Some(XFRM), NEW_POLICY, CREATE_EXCLUSIVELY, &body)
}

/// Ends a connection from outside, as `ss --kill` does.
pub(super) fn destroy(local: SocketAddr, peer: SocketAddr) -> io::Result<()> {
    const DESTROY: u16 = 21;
    const TCP: u8 = 6;
    let mut body = vec![family(local.ip()), TCP, 0, 0];
    // In whatever state.
    body.extend(u32::MAX.to_ne_bytes());
    body.extend(local.port().to_be_bytes());
    body.extend(peer.port().to_be_bytes());
    for address in [local, peer] {
        let mut octets = octets(address.ip());
        octets.resize(16, 0);
        body.extend(octets);
    }
    body.extend([0; 4]);
    // No cookie: the addresses say which.
    body.extend([u8::MAX; 8]);
    ask_of(Some(SOCK_DIAG), DESTROY, 0, &body)
}

fn add_queue(link: &str, kind: &[u8], options: &[u8]) -> io::Result<()> {
    const ROOT: u32 = u32::MAX;
    let mut body = vec![0; 4];
    body.extend(index(link)?.to_ne_bytes());
    body.extend(0_u32.to_ne_bytes());
    body.extend(ROOT.to_ne_bytes());
    body.extend(0_u32.to_ne_bytes());
    put(&mut body, 1, kind);
    put(&mut body, 2, options);
    ask(NEW_QUEUE, CREATE_EXCLUSIVELY, &body)
}

fn index(link: &str) -> io::Result<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(name_to_index(any, link)?)
}

fn link_head(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut head = vec![0; 4];
    head.extend([index, flags, change].into_iter().flat_map(u32::to_ne_bytes));
    head
}

fn named(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn put(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).expect("a short attribute");
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn ask(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    ask_of(None, kind, flags, body)
}

fn ask_of(protocol: Option<Protocol>, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let mut message = Vec::new();
    message.extend(u32::try_from(16 + body.len()).expect("a short message").to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST_ACK | flags).to_ne_bytes());
    message.extend([1_u32, 0].into_iter().flat_map(u32::to_ne_bytes));
    message.extend(body);

    let line = socket(AddressFamily::NETLINK, SocketType::RAW, protocol)?;
    sendto(&line, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0_u8; 4096];
    let (count, _) = recv(&line, &mut answer, RecvFlags::empty())?;
    let code = answer[..count].get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other("netlink gave no answer")),
    }
}
