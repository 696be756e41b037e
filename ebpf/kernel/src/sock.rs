//! What a socket says of itself.

use core::mem::MaybeUninit;

use crate::kernel::{Block, ReadFailed, offset, read, window_start};
use crate::layout::{ABSENT, WINDOW_BYTES};
use crate::wire::{AF_INET, AF_INET6, Address, Conn, Totals, role};

/// IPPROTO_TCP. MPTCP's own sockets fire the same tracepoints; their subflows are the connections.
const IPPROTO_TCP: u16 = 6;
/// The part of a `sock_common` that has family, ports, addresses and network namespace on every kernel so far.
const COMMON_WORDS: usize = 13;
const WINDOW_WORDS: usize = WINDOW_BYTES as usize / 8;

/// TCP states, by the kernel's numbers.
pub mod state {
    pub const ESTABLISHED: u32 = 1;
    pub const SYN_SENT: u32 = 2;
    pub const SYN_RECV: u32 = 3;
    pub const FIN_WAIT1: u32 = 4;
    pub const FIN_WAIT2: u32 = 5;
    pub const CLOSE: u32 = 7;
    pub const CLOSE_WAIT: u32 = 8;
    pub const LAST_ACK: u32 = 9;
    pub const LISTEN: u32 = 10;
    pub const CLOSING: u32 = 11;
}

/// Of a TCP socket: whether it belongs to the kernel itself. `None` for any other socket.
#[inline(always)]
pub fn tcp(sk: u64) -> Option<bool> {
    // Both are next to each other on most kernels.
    let start = offset!(sk_protocol) & !7;
    let mut words = MaybeUninit::uninit();
    let block = Block::<1>::read(&mut words, sk, start).ok()?;
    if !matches!(block.get(offset!(sk_protocol)), Ok(IPPROTO_TCP)) {
        return None;
    }
    let bit = offset!(sk_kern_sock);
    if bit == ABSENT {
        return Some(false);
    }
    let byte: u8 = block.get(bit / 8).ok()?;
    // The kernel makes the subflows of a process's MPTCP socket.
    Some(byte >> (bit % 8) & 1 == 1 && !is_subflow(sk))
}

#[inline(always)]
fn is_subflow(sk: u64) -> bool {
    offset!(tcp_is_mptcp) != ABSENT && !matches!(read!(sk, tcp_is_mptcp, u8), Ok(0))
}

/// The state a socket is in.
#[inline(always)]
pub fn state(sk: u64) -> Result<u32, ReadFailed> {
    Ok(u32::from(read!(sk, skc_state, u8)?))
}

/// Whether a process has a descriptor of it: a child gets it when it is accepted.
#[inline(always)]
pub fn is_held(sk: u64) -> bool {
    !matches!(read!(sk, sk_socket, u64), Ok(0) | Err(_))
}

/// Whether the socket that `conn` was told of still has its ports and peer.
#[inline(always)]
pub fn is_still(sk: u64, conn: &Conn) -> bool {
    // No socket with an entry has a local port of 0. Older verifiers take the value of a failed read for missing, so it is
    // given one here.
    let local = read!(sk, inet_sport, u16).unwrap_or(0);
    let peer = read!(sk, skc_dport, u16).unwrap_or(0);
    let address = read!(sk, skc_daddr, u32).unwrap_or(0);
    local == conn.local_port_be
        && peer == conn.peer_port_be
        && (conn.family != AF_INET || address == conn.peer[0] as u32)
}

/// Whether `sk` is an MPTCP connection, whose subflows are TCP sockets.
#[inline(always)]
pub fn is_mptcp(sk: u64) -> bool {
    const IPPROTO_MPTCP: u16 = 262;
    matches!(read!(sk, sk_protocol, u16), Ok(IPPROTO_MPTCP))
}

/// Fills in addresses, ports and network namespace.
///
/// `skc_num` is already 0 at CLOSE; then the local port comes from `inet_sport`.
#[inline(always)]
pub fn fill_tuple(sk: u64, conn: &mut Conn) -> Result<(), ReadFailed> {
    let mut words = MaybeUninit::uninit();
    let common = Block::<COMMON_WORDS>::read(&mut words, sk, 0)?;
    conn.family = common.get(offset!(skc_family))?;
    conn.local_port_be = match common.get::<u16>(offset!(skc_num))? {
        0 => read!(sk, inet_sport, u16)?,
        port => port.to_be(),
    };
    conn.peer_port_be = common.get(offset!(skc_dport))?;
    if conn.family == AF_INET6 && offset!(skc_v6_daddr) != ABSENT && offset!(skc_v6_rcv_saddr) != ABSENT {
        let local: InSocket = common.get(offset!(skc_v6_rcv_saddr))?;
        let peer: InSocket = common.get(offset!(skc_v6_daddr))?;
        if is_mapped(&peer) {
            conn.family = AF_INET;
            conn.local = v4(local[3]);
            conn.peer = v4(peer[3]);
        } else {
            conn.local = v6(&local);
            conn.peer = v6(&peer);
        }
    } else {
        conn.local = v4(common.get(offset!(skc_rcv_saddr))?);
        conn.peer = v4(common.get(offset!(skc_daddr))?);
    }
    if offset!(skc_net) != ABSENT {
        let net: u64 = common.get(offset!(skc_net))?;
        conn.netns = read!(net, net_inum, u32)?;
    }
    Ok(())
}

/// An IPv6 address as a socket has it: words in network byte order.
pub type InSocket = [u32; 4];

/// Whether an IPv6 address is an IPv4 one in disguise, `::ffff:0:0/96`.
#[inline(always)]
pub fn is_mapped(address: &InSocket) -> bool {
    address[0] == 0 && address[1] == 0 && address[2] == 0xffff_u32.to_be()
}

/// An IPv6 address as records have it.
#[inline(always)]
pub fn v6(address: &InSocket) -> Address {
    [pair(address[0], address[1]), pair(address[2], address[3])]
}

/// An IPv4 address as records have it.
#[inline(always)]
pub fn v4(address: u32) -> Address {
    [pair(address, 0), 0]
}

/// Two words one after the other in memory; the object is little-endian.
#[inline(always)]
fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

/// Fills in the socket's figures, when it leaves `old_state`.
#[inline(always)]
pub fn fill_totals(sk: u64, old_state: u32, totals: &mut Totals) -> Result<(), ReadFailed> {
    let mut words = MaybeUninit::uninit();
    let window = Block::<WINDOW_WORDS>::read(&mut words, sk, window_start())?;
    totals.bytes_acked = window.get(offset!(bytes_acked))?;
    totals.bytes_received = window.get(offset!(bytes_received))?;
    totals.snd_una = window.get(offset!(snd_una))?;
    totals.snd_nxt = window.get(offset!(snd_nxt))?;
    totals.write_seq = window.get(offset!(write_seq))?;
    totals.segs_in = window.get(offset!(segs_in))?;
    totals.segs_out = window.get(offset!(segs_out))?;
    totals.total_retrans = window.get(offset!(total_retrans))?;
    totals.srtt_us_8 = window.get(offset!(srtt_us))?;
    if !after_fin(old_state) {
        totals.sk_err = read!(sk, sk_err, u32)?;
        totals.shutdown = read!(sk, sk_shutdown, u8)?;
    }
    totals.sk_flags = read!(sk, skc_flags, u32)?;
    totals.old_state = old_state as u8;
    Ok(())
}

/// Fills in the figures that tell a client from a server where the beginning was not seen.
#[inline(always)]
pub fn fill_role_hints(sk: u64, totals: &mut Totals) -> Result<(), ReadFailed> {
    totals.bytes_sent = read!(sk, bytes_sent, u64)?;
    totals.bytes_retrans = read!(sk, bytes_retrans, u64)?;
    Ok(())
}

/// Whether this end's FIN was sent: then an error no longer says how the connection ended.
#[inline(always)]
fn after_fin(state: u32) -> bool {
    matches!(state, state::FIN_WAIT1 | state::FIN_WAIT2 | state::LAST_ACK | state::CLOSING)
}

/// Whether the process that closed this end did so by a reset: with unread data, or on request.
#[inline(always)]
pub fn was_reset_here(totals: &Totals) -> bool {
    const BOTH: u8 = 3;
    let state = u32::from(totals.old_state);
    matches!(state, state::ESTABLISHED | state::CLOSE_WAIT) && totals.sk_err == 0 && totals.shutdown == BOTH
}

/// Whether somebody destroyed the socket from outside, such as by `ss -K`.
#[inline(always)]
pub fn was_destroyed(totals: &Totals) -> bool {
    const ECONNABORTED: u32 = 103;
    totals.sk_err == ECONNABORTED
}

/// Payload bytes of an ended connection, sent and received: without SYN and FIN. User space has the same arithmetic; here
/// it is for what user space never gets.
#[inline(always)]
pub fn payload(role: u8, totals: &Totals) -> (u64, u64) {
    const SOCK_DONE: u32 = 1 << 1;
    let fin = after_fin(u32::from(totals.old_state)) && totals.snd_una == totals.write_seq;
    let peers_fin = totals.sk_flags & SOCK_DONE != 0;
    let acked = totals.bytes_acked.saturating_sub(u64::from(fin));
    // Only a client's SYN was acknowledged without being counted as sent.
    let is_client = role == role::CLIENT
        || (role == role::UNKNOWN && acked == totals.bytes_sent.wrapping_sub(totals.bytes_retrans) + 1);
    (acked.saturating_sub(u64::from(is_client)), totals.bytes_received.saturating_sub(u64::from(peers_fin)))
}
