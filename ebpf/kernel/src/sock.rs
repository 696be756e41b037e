//! What a socket says of itself.

use core::mem::MaybeUninit;

use crate::kernel::{Block, ReadFailed, offset, read, window_start};
use crate::layout::{ABSENT, WINDOW_BYTES};
use crate::wire::{AF_INET, AF_INET6, Address, Conn, Totals};

/// IPPROTO_TCP. MPTCP's own sockets fire the same tracepoints; their subflows are the connections.
const IPPROTO_TCP: u16 = 6;
/// The part of a `sock_common` that has family, ports, addresses and network namespace on every kernel so far.
const COMMON_WORDS: usize = 13;
const WINDOW_WORDS: usize = WINDOW_BYTES as usize / 8;

/// Whether `sk` is a TCP socket.
#[inline(always)]
pub fn is_tcp(sk: u64) -> bool {
    matches!(read!(sk, sk_protocol, u16), Ok(IPPROTO_TCP))
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
type InSocket = [u32; 4];

/// Whether an IPv6 address is an IPv4 one in disguise, `::ffff:0:0/96`.
#[inline(always)]
fn is_mapped(address: &InSocket) -> bool {
    address[0] == 0 && address[1] == 0 && address[2] == 0xffff_u32.to_be()
}

#[inline(always)]
fn v6(address: &InSocket) -> Address {
    [pair(address[0], address[1]), pair(address[2], address[3])]
}

#[inline(always)]
fn v4(address: u32) -> Address {
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
    const FIN_WAIT1: u32 = 4;
    const FIN_WAIT2: u32 = 5;
    const LAST_ACK: u32 = 9;
    const CLOSING: u32 = 11;
    matches!(state, FIN_WAIT1 | FIN_WAIT2 | LAST_ACK | CLOSING)
}
