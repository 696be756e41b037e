//! From the kernel's figures to payload bytes, endings and errors.
//!
//! Payload is what the peer's TCP acknowledged and what arrived in order. `bytes_sent - bytes_retrans` would count a
//! segment again for every local drop, so it is never used.

use std::time::Duration;

use convis_ebpf::wire;
use convis_exporters::model::{CloseReason, ConnectError, Role, Totals};

/// TCP states, by the kernel's numbers.
mod state {
    pub(super) const ESTABLISHED: u8 = 1;
    pub(super) const SYN_RECV: u8 = 3;
    pub(super) const FIN_WAIT1: u8 = 4;
    pub(super) const FIN_WAIT2: u8 = 5;
    pub(super) const TIME_WAIT: u8 = 6;
    pub(super) const CLOSE: u8 = 7;
    pub(super) const CLOSE_WAIT: u8 = 8;
    pub(super) const LAST_ACK: u8 = 9;
    pub(super) const CLOSING: u8 = 11;
}

/// Error numbers, as Linux has them on every architecture that convis runs on.
mod errno {
    pub(super) const EPERM: u32 = 1;
    pub(super) const EACCES: u32 = 13;
    pub(super) const EPIPE: u32 = 32;
    pub(super) const EADDRNOTAVAIL: u32 = 99;
    pub(super) const ENETUNREACH: u32 = 101;
    pub(super) const ECONNABORTED: u32 = 103;
    pub(super) const ECONNRESET: u32 = 104;
    pub(super) const ETIMEDOUT: u32 = 110;
    pub(super) const ECONNREFUSED: u32 = 111;
    pub(super) const EHOSTDOWN: u32 = 112;
    pub(super) const EHOSTUNREACH: u32 = 113;
}

/// `SOCK_DONE` of `enum sock_flags`: the peer's FIN arrived.
const SOCK_DONE: u32 = 1 << 1;

/// Payload and quality figures from the socket's own, at its last transition or as of now.
///
/// Without a role one byte may be the own SYN, so it is left out: never more than was sent.
pub fn of(raw: &wire::Totals, role: Option<Role>) -> Totals {
    let own_syn = u64::from(role != Some(Role::Server));
    let peer_fin = u64::from(raw.sk_flags & SOCK_DONE != 0);
    let fin_in_flight = fin_sent(raw) && !all_acknowledged(raw) && raw.snd_nxt == raw.write_seq;
    let in_flight = raw.snd_nxt.wrapping_sub(raw.snd_una);
    Totals {
        bytes_sent: raw.bytes_acked.saturating_sub(own_syn + own_fin(raw)),
        bytes_received: raw.bytes_received.saturating_sub(peer_fin),
        bytes_unacked: u64::from(in_flight).saturating_sub(u64::from(fin_in_flight)),
        segments_sent: raw.segs_out,
        segments_received: raw.segs_in,
        retransmits: raw.total_retrans,
        rtt: (raw.srtt_us_8 != 0).then(|| Duration::from_micros(u64::from(raw.srtt_us_8 >> 3))),
    }
}

/// The role of a socket whose beginning was not seen: a client's SYN was acknowledged as well. `None` where local drops
/// or data in flight hide it.
pub fn role(raw: &wire::Totals) -> Option<Role> {
    let payload = raw.bytes_sent.checked_sub(raw.bytes_retrans)?;
    let beyond_payload = raw.bytes_acked.checked_sub(payload)?.checked_sub(own_fin(raw))?;
    match beyond_payload {
        _ if !all_acknowledged(raw) => None,
        0 => Some(Role::Server),
        1 => Some(Role::Client),
        _ => None,
    }
}

/// Whether a process closed this end: somebody has accepted it, seen or not.
pub fn was_closed_here(raw: &wire::Totals) -> bool {
    fin_sent(raw)
}

fn fin_sent(raw: &wire::Totals) -> bool {
    matches!(
        raw.old_state,
        state::FIN_WAIT1 | state::FIN_WAIT2 | state::TIME_WAIT | state::LAST_ACK | state::CLOSING
    )
}

fn all_acknowledged(raw: &wire::Totals) -> bool {
    raw.snd_una == raw.write_seq
}

/// 1 if this end's FIN is among the acknowledged bytes.
fn own_fin(raw: &wire::Totals) -> u64 {
    u64::from(fin_sent(raw) && all_acknowledged(raw))
}

/// The first cause of the end: the first FIN, which the state that was left tells, else the error.
pub fn close_reason(raw: &wire::Totals) -> CloseReason {
    match raw.old_state {
        state::FIN_WAIT1 | state::FIN_WAIT2 | state::TIME_WAIT | state::CLOSING => CloseReason::LocalClose,
        state::CLOSE_WAIT | state::LAST_ACK => CloseReason::PeerClose,
        state::ESTABLISHED | state::SYN_RECV => match raw.sk_err {
            // Without an error it was this end: unread data, SO_LINGER 0 or connect(AF_UNSPEC).
            0 | errno::ECONNABORTED => CloseReason::LocalReset,
            errno::ECONNRESET | errno::EPIPE => CloseReason::PeerReset,
            // A soft error takes the place of ETIMEDOUT when retransmissions run out.
            errno::ETIMEDOUT | errno::EHOSTUNREACH | errno::ENETUNREACH | errno::EHOSTDOWN => {
                CloseReason::Timeout
            }
            _ => CloseReason::Unknown,
        },
        _ => CloseReason::Unknown,
    }
}

/// Why an attempt failed, or `None` when there was none: a fast open that was closed before its first write. One that never
/// left CLOSE has the error that connect returned.
pub fn connect_error(raw: &wire::Totals, local_port: u16) -> Option<ConnectError> {
    Some(match raw.sk_err {
        0 if raw.old_state == state::CLOSE => return None,
        0 if local_port == 0 => ConnectError::AddressNotAvailable,
        0 if raw.segs_out == 0 => return None,
        0 => ConnectError::Cancelled,
        errno::ECONNREFUSED => ConnectError::Refused,
        errno::ECONNRESET => ConnectError::Reset,
        errno::ETIMEDOUT => ConnectError::TimedOut,
        errno::EHOSTUNREACH | errno::EHOSTDOWN => ConnectError::HostUnreachable,
        errno::ENETUNREACH => ConnectError::NetUnreachable,
        errno::EADDRNOTAVAIL => ConnectError::AddressNotAvailable,
        errno::EACCES | errno::EPERM => ConnectError::PermissionDenied,
        _ => ConnectError::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> wire::Totals {
        wire::Totals {
            bytes_acked: 0,
            bytes_received: 0,
            bytes_sent: 0,
            bytes_retrans: 0,
            snd_una: 5000,
            snd_nxt: 5000,
            write_seq: 5000,
            segs_in: 0,
            segs_out: 1,
            total_retrans: 0,
            srtt_us_8: 0,
            sk_err: 0,
            sk_flags: 0,
            old_state: state::FIN_WAIT2,
            shutdown: 0,
            reserved: [0; 2],
        }
    }

    /// Scenario: an orderly end, as either role and either closer, with figures seen on a real loopback connection.
    /// Guarantees: SYN and FIN are not payload.
    #[test]
    fn orderly_end_counts_payload_only() {
        let server = wire::Totals { bytes_acked: 1039, bytes_received: 80, sk_flags: 771, ..raw() };
        let totals = of(&server, Some(Role::Server));
        assert_eq!((totals.bytes_sent, totals.bytes_received, totals.bytes_unacked), (1038, 79, 0));
        let client = wire::Totals {
            bytes_acked: 81,
            bytes_received: 1039,
            sk_flags: 779,
            old_state: state::LAST_ACK,
            ..raw()
        };
        let totals = of(&client, Some(Role::Client));
        assert_eq!((totals.bytes_sent, totals.bytes_received, totals.bytes_unacked), (79, 1038, 0));
    }

    /// Scenario: ends with data and FIN in flight, with data queued but FIN unsent, and with sequence numbers that wrap.
    /// Guarantees: only payload is unacknowledged, and sent excludes it.
    #[test]
    fn what_is_in_flight_is_unacked() {
        let fin_in_flight = wire::Totals {
            bytes_acked: 101,
            snd_una: 1000,
            snd_nxt: 1011,
            write_seq: 1011,
            old_state: state::FIN_WAIT1,
            ..raw()
        };
        let totals = of(&fin_in_flight, Some(Role::Client));
        assert_eq!((totals.bytes_sent, totals.bytes_unacked), (100, 10));
        let fin_queued = wire::Totals { write_seq: 2000, ..fin_in_flight };
        assert_eq!(of(&fin_queued, Some(Role::Server)).bytes_unacked, 11);
        let wrapped = wire::Totals { snd_una: u32::MAX, snd_nxt: 9, write_seq: 9, old_state: 1, ..raw() };
        assert_eq!(of(&wrapped, Some(Role::Server)).bytes_unacked, 10);
    }

    /// Scenario: ends whose beginning was not seen: a client and a server after their FIN, one with data in flight, one
    /// with local drops.
    /// Guarantees: the role that the SYN tells, and none where it is hidden; then no byte too many.
    #[test]
    fn the_syn_tells_the_role() {
        let client = wire::Totals { bytes_acked: 1002, bytes_sent: 1500, bytes_retrans: 500, ..raw() };
        assert_eq!(role(&client), Some(Role::Client));
        assert_eq!(role(&wire::Totals { bytes_acked: 1001, ..client }), Some(Role::Server));
        assert_eq!(role(&wire::Totals { write_seq: 6000, ..client }), None);
        let dropped = wire::Totals { bytes_sent: 6000, bytes_retrans: 4000, ..client };
        assert_eq!((role(&dropped), of(&dropped, None).bytes_sent), (None, 1000));
    }

    /// Scenario: a socket that says less than SYN and FIN.
    /// Guarantees: zero, never a wrap.
    #[test]
    fn never_below_zero() {
        let totals = of(&wire::Totals { sk_flags: SOCK_DONE, ..raw() }, Some(Role::Client));
        assert_eq!((totals.bytes_sent, totals.bytes_received), (0, 0));
        assert_eq!(totals.rtt, None);
    }

    /// Scenario: every state that can be left for CLOSE, with the errors seen there.
    /// Guarantees: the first FIN decides; without one, the error does.
    #[test]
    fn first_cause_decides() {
        let reason = |old_state, sk_err| close_reason(&wire::Totals { old_state, sk_err, ..raw() });
        for (old_state, sk_err, expected) in [
            (state::FIN_WAIT2, 0, CloseReason::LocalClose),
            (state::FIN_WAIT1, 110, CloseReason::LocalClose),
            (state::FIN_WAIT2, 104, CloseReason::LocalClose),
            (state::CLOSING, 104, CloseReason::LocalClose),
            (state::LAST_ACK, 0, CloseReason::PeerClose),
            (state::LAST_ACK, 104, CloseReason::PeerClose),
            (state::CLOSE_WAIT, 32, CloseReason::PeerClose),
            (state::CLOSE_WAIT, 0, CloseReason::PeerClose),
            (state::ESTABLISHED, 104, CloseReason::PeerReset),
            (state::ESTABLISHED, 0, CloseReason::LocalReset),
            (state::ESTABLISHED, 103, CloseReason::LocalReset),
            (state::ESTABLISHED, 110, CloseReason::Timeout),
            (state::ESTABLISHED, 113, CloseReason::Timeout),
            (state::ESTABLISHED, 5, CloseReason::Unknown),
            (2, 0, CloseReason::Unknown),
        ] {
            assert_eq!(reason(old_state, sk_err), expected, "state {old_state}, error {sk_err}");
        }
    }

    /// Scenario: every error a SYN can end in, and attempts that never came to one.
    /// Guarantees: its name, and that giving up is no failure of the network.
    #[test]
    fn names_connect_errors() {
        let error = |sk_err, port| connect_error(&wire::Totals { sk_err, old_state: 2, ..raw() }, port);
        for (sk_err, expected) in [
            (111, ConnectError::Refused),
            (104, ConnectError::Reset),
            (110, ConnectError::TimedOut),
            (113, ConnectError::HostUnreachable),
            (101, ConnectError::NetUnreachable),
            (99, ConnectError::AddressNotAvailable),
            (13, ConnectError::PermissionDenied),
            (1, ConnectError::PermissionDenied),
            (0, ConnectError::Cancelled),
            (105, ConnectError::Other),
        ] {
            assert_eq!(error(sk_err, 40_000), Some(expected), "error {sk_err}");
        }
        assert_eq!(error(0, 0), Some(ConnectError::AddressNotAvailable));
        let unsent = wire::Totals { segs_out: 0, old_state: 2, ..raw() };
        assert_eq!(connect_error(&unsent, 40_000), None);
        let refused_before = |sk_err| {
            connect_error(&wire::Totals { sk_err, segs_out: 0, old_state: state::CLOSE, ..raw() }, 0)
        };
        assert_eq!(refused_before(101), Some(ConnectError::NetUnreachable));
        assert_eq!(refused_before(1), Some(ConnectError::PermissionDenied));
        assert_eq!(refused_before(0), None);
    }
}
