//! What a socket says of itself.

use crate::kernel::{ReadFailed, offset, read};
use crate::layout::ABSENT;
use crate::wire::{AF_INET, AF_INET6, Conn, Totals};

/// IPPROTO_TCP. MPTCP's own sockets fire the same tracepoints; their subflows are the connections.
const IPPROTO_TCP: u16 = 6;

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
/// The local port comes from `inet_sport`: `skc_num` is already 0 at CLOSE.
#[inline(always)]
pub fn fill_tuple(sk: u64, conn: &mut Conn) -> Result<(), ReadFailed> {
    conn.family = read!(sk, skc_family, u16)?;
    conn.local_port_be = read!(sk, inet_sport, u16)?;
    conn.peer_port_be = read!(sk, skc_dport, u16)?;
    if conn.family == AF_INET6 && offset!(skc_v6_daddr) != ABSENT && offset!(skc_v6_rcv_saddr) != ABSENT {
        let local = read!(sk, skc_v6_rcv_saddr, Address)?;
        let peer = read!(sk, skc_v6_daddr, Address)?;
        if peer.is_mapped() {
            conn.family = AF_INET;
            set_v4(&mut conn.local, local.words[3]);
            set_v4(&mut conn.peer, peer.words[3]);
        } else {
            conn.local = local.bytes();
            conn.peer = peer.bytes();
        }
    } else {
        set_v4(&mut conn.local, read!(sk, skc_rcv_saddr, u32)?);
        set_v4(&mut conn.peer, read!(sk, skc_daddr, u32)?);
    }
    if offset!(skc_net) != ABSENT {
        let net = read!(sk, skc_net, u64)?;
        conn.netns = read!(net, net_inum, u32)?;
    }
    Ok(())
}

/// An IPv6 address in network byte order.
#[repr(C)]
#[derive(Clone, Copy)]
struct Address {
    words: [u32; 4],
}

impl Address {
    /// Whether it is an IPv4 address in disguise, `::ffff:0:0/96`.
    #[inline(always)]
    fn is_mapped(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == 0xffff_u32.to_be()
    }

    #[inline(always)]
    fn bytes(&self) -> [u8; 16] {
        // SAFETY: four integers without padding.
        unsafe { core::mem::transmute(self.words) }
    }
}

#[inline(always)]
fn set_v4(address: &mut [u8; 16], word: u32) {
    let [a, b, c, d] = word.to_ne_bytes();
    *address = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
}

/// Fills in the socket's figures, when it leaves `old_state`.
#[inline(always)]
pub fn fill_totals(sk: u64, old_state: u32, totals: &mut Totals) -> Result<(), ReadFailed> {
    totals.bytes_acked = read!(sk, bytes_acked, u64)?;
    totals.bytes_received = read!(sk, bytes_received, u64)?;
    totals.bytes_sent = read!(sk, bytes_sent, u64)?;
    totals.bytes_retrans = read!(sk, bytes_retrans, u64)?;
    totals.snd_una = read!(sk, snd_una, u32)?;
    totals.snd_nxt = read!(sk, snd_nxt, u32)?;
    totals.write_seq = read!(sk, write_seq, u32)?;
    totals.segs_in = read!(sk, segs_in, u32)?;
    totals.segs_out = read!(sk, segs_out, u32)?;
    totals.total_retrans = read!(sk, total_retrans, u32)?;
    totals.srtt_us_8 = read!(sk, srtt_us, u32)?;
    totals.sk_err = read!(sk, sk_err, u32)?;
    totals.sk_flags = read!(sk, skc_flags, u32)?;
    totals.old_state = old_state as u8;
    Ok(())
}
