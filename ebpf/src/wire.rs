//! What the kernel programs and user space share: records, map values and counters.
//!
//! Compiled into both sides. Plain `repr(C)` integers without implicit padding, host byte order unless a name ends in
//! `_be`. User space never casts bytes to these types: it parses them (see `record`).

/// Layout version of every record; user space refuses another.
pub const VERSION: u8 = 2;

/// Record kinds, also the index of each kind's counters.
pub mod kind {
    /// [`Conn`](super::Conn): established (client) or accepted (server).
    pub const OPENED: u8 = 0;
    /// [`Conn`](super::Conn) and [`Totals`](super::Totals): the final transition to CLOSE.
    pub const CLOSED: u8 = 1;
    /// [`Conn`](super::Conn) and [`Totals`](super::Totals): an attempt ended without being established.
    pub const FAILED: u8 = 2;
    /// [`Exec`](super::Exec): a process runs a new image.
    pub const EXEC: u8 = 3;
    /// [`Fork`](super::Fork): a new process.
    pub const FORK: u8 = 4;
    /// [`Exit`](super::Exit): the last thread of a process ended.
    pub const EXIT: u8 = 5;
    /// [`Conn`](super::Conn): a listening socket closed; its role is `LISTENER`.
    pub const LISTENER_CLOSED: u8 = 6;
    /// [`Conn`](super::Conn): a socket listens; owner, namespace, local address and port.
    pub const LISTENING: u8 = 7;
    /// [`Conn`](super::Conn) and [`Totals`](super::Totals) of a living entry, as of now; never in the ring, only read on
    /// request.
    pub const LIVE: u8 = 8;
    /// [`CgroupMade`](super::CgroupMade): a new cgroup.
    pub const CGROUP_MADE: u8 = 9;
    /// [`CgroupRemoved`](super::CgroupRemoved): a cgroup is gone.
    pub const CGROUP_REMOVED: u8 = 10;
    /// Number of kinds.
    pub const COUNT: usize = 11;
}

/// `Conn::flags`.
pub mod flag {
    /// A process has accepted this end.
    pub const ACCEPTED: u16 = 1 << 0;
    /// One end belongs to convis: nothing is sent for it.
    pub const SELF: u16 = 1 << 1;
    /// Its beginning was not seen.
    pub const PREEXISTING: u16 = 1 << 2;
    /// The opened record found no room in the ring.
    pub const OPEN_PENDING: u16 = 1 << 3;
    /// The connection has ended; the entry waits for its accept or for the sweep.
    pub const CLOSED: u16 = 1 << 4;
    /// The attempt failed; the entry waits for the sweep.
    pub const FAILED: u16 = 1 << 5;
    /// Its last record is being written: whoever finds the entry later must not take it for a living connection.
    pub const ENDING: u16 = 1 << 6;
    /// Whether it began before convis is not known: the ledger was full at some time, so its beginning may have been missed.
    pub const UNTRACKED: u16 = 1 << 7;
    /// A socket of the kernel itself, such as of a network file system: no process owns it.
    pub const KERNEL: u16 = 1 << 8;
    /// Its owner is who closed it, since no accept was seen.
    pub const LATE: u16 = 1 << 9;
    /// Its owner was found holding a descriptor of it when convis started.
    pub const FOUND: u16 = 1 << 10;
    /// A process had a descriptor of it when the peer ended it, though no accept had been seen.
    pub const HELD: u16 = 1 << 11;
}

/// `Conn::role`.
pub mod role {
    /// Not known.
    pub const UNKNOWN: u8 = 0;
    /// It connected.
    pub const CLIENT: u8 = 1;
    /// It is the child of a listener.
    pub const SERVER: u8 = 2;
    /// It listens.
    pub const LISTENER: u8 = 3;
}

/// Why the kernel refused a change of the ledger, the index of its counter.
pub mod map_error {
    /// E2BIG: as many entries as it has room for.
    pub const FULL: usize = 0;
    /// EBUSY or EDEADLK: interrupted in the middle of another change.
    pub const BUSY: usize = 1;
    /// ENOMEM.
    pub const NO_MEMORY: usize = 2;
    /// Any other.
    pub const OTHER: usize = 3;
    /// Number of them.
    pub const COUNT: usize = 4;
}

/// Address family IPv4.
pub const AF_INET: u16 = 2;
/// Address family IPv6.
pub const AF_INET6: u16 = 10;

/// Keys of the ledger with this bit are sockets of living connections; the others are ids of ended ones that wait for
/// the sweep. Kernel addresses have it set.
pub const SOCKET_KEY: u64 = 1 << 63;

/// An IP address: its bytes in network order, IPv4 in the first four, the rest zero. Two words rather than bytes, because
/// the kernel programs would copy bytes one by one.
pub type Address = [u64; 2];

/// Start of every record.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// [`VERSION`].
    pub version: u8,
    /// One of [`kind`].
    pub kind: u8,
    /// Zero.
    pub reserved: u16,
    /// Zero.
    pub reserved2: u32,
    /// When it happened: `CLOCK_BOOTTIME`, nanoseconds.
    pub time_ns: u64,
}

/// A process image as seen from its own context.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Process id in the initial pid namespace; 0 when not known.
    pub tgid: u32,
    /// Changes with every exec of the process.
    pub exec_seq: u32,
    /// Start of the process's first thread: `CLOCK_BOOTTIME`, nanoseconds.
    pub start_ns: u64,
    /// Inode of its cgroup v2 directory.
    pub cgroup_id: u64,
    /// Real user id in the initial user namespace.
    pub uid: u32,
    /// Process id in its own pid namespace; only of [`Fork::child`], else 0.
    pub vpid: u32,
}

/// One end of a connection; the value that lives in the ledger.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conn {
    /// Made at the first transition; addresses and cookies of sockets are reused, this is not.
    pub id: u64,
    /// The attempt's or the child's first transition: `CLOCK_BOOTTIME`, nanoseconds.
    pub start_ns: u64,
    /// Handshake finished; 0 before.
    pub established_ns: u64,
    /// Who connected or accepted.
    pub owner: Owner,
    /// Local address.
    pub local: Address,
    /// Peer address.
    pub peer: Address,
    /// Local port, network byte order.
    pub local_port_be: u16,
    /// Peer port, network byte order.
    pub peer_port_be: u16,
    /// Inode of the network namespace.
    pub netns: u32,
    /// `AF_INET`, also for IPv4-mapped addresses, or `AF_INET6`; 0 before the addresses are known.
    pub family: u16,
    /// Set of [`flag`].
    pub flags: u16,
    /// One of [`role`].
    pub role: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Process id of who closed this end, if it is not the owner; else 0.
    pub closer: u32,
    /// The last state change that was followed: `old << 8 | new`. It tells the copies of the state program that one of them
    /// has done the work.
    pub transition: u32,
}

/// `tcp_sock` figures as they are; user space turns them into payload bytes and endings.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// `tcp_sock.bytes_acked`.
    pub bytes_acked: u64,
    /// `tcp_sock.bytes_received`.
    pub bytes_received: u64,
    /// `tcp_sock.bytes_sent`; only with [`flag::PREEXISTING`].
    pub bytes_sent: u64,
    /// `tcp_sock.bytes_retrans`; only with [`flag::PREEXISTING`].
    pub bytes_retrans: u64,
    /// `tcp_sock.snd_una`.
    pub snd_una: u32,
    /// `tcp_sock.snd_nxt`.
    pub snd_nxt: u32,
    /// `tcp_sock.write_seq`.
    pub write_seq: u32,
    /// `tcp_sock.segs_in`.
    pub segs_in: u32,
    /// `tcp_sock.segs_out`.
    pub segs_out: u32,
    /// `tcp_sock.total_retrans`.
    pub total_retrans: u32,
    /// `tcp_sock.srtt_us`: eight times the smoothed round-trip time, microseconds.
    pub srtt_us_8: u32,
    /// `sock.sk_err`; 0 after this end's FIN. Of an attempt that never left CLOSE, the error that connect returned.
    pub sk_err: u32,
    /// `sock.sk_flags`, low half.
    pub sk_flags: u32,
    /// The state that was left; of a living entry, the state it is in.
    pub old_state: u8,
    /// `sock.sk_shutdown`; 0 after this end's FIN.
    pub shutdown: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// Value of the ledger map.
///
/// The key is the socket's address while the connection lives. What found no room in the ring moves to an id as the
/// key (ids have the top bit clear, kernel addresses have it set), so that a reused socket cannot overwrite it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The connection.
    pub conn: Conn,
    /// Only with [`flag::CLOSED`] or [`flag::FAILED`].
    pub totals: Totals,
    /// When it ended: `CLOCK_BOOTTIME`, nanoseconds.
    pub end_ns: u64,
}

/// Record of kind `OPENED`, `LISTENING` and `LISTENER_CLOSED`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedRecord {
    /// Start.
    pub header: Header,
    /// The connection.
    pub conn: Conn,
}

/// Start of a record of kind `LIVE`; [`Conn`] and [`Totals`] follow.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveHead {
    /// Start.
    pub header: Header,
    /// Where the entry is in the ledger.
    pub key: u64,
}

/// Record of kind `CLOSED` and `FAILED`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedRecord {
    /// Start.
    pub header: Header,
    /// The connection.
    pub conn: Conn,
    /// Its figures.
    pub totals: Totals,
}

/// Bytes of [`Exec::path`] that names may fill.
pub const PATH_BYTES: usize = 512;
/// Longest name of a directory entry, with its NUL.
pub const NAME_BYTES: usize = 256;
/// Bytes of `argv[0]`, with its NUL.
pub const ARGV0_BYTES: usize = 128;

/// A process runs a new image.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exec {
    /// Start.
    pub header: Header,
    /// The new image.
    pub owner: Owner,
    /// Parent process.
    pub parent_tgid: u32,
    /// Bytes used in `path`.
    pub path_len: u16,
    /// Bytes used in `argv0`, NUL included; 0 when it could not be read.
    pub argv0_len: u16,
    /// 1 when `path` reaches the root; else only its first names are known.
    pub path_complete: u32,
    /// Zero.
    pub reserved: u32,
    /// `argv[0]`.
    pub argv0: [u8; ARGV0_BYTES],
    /// Names from `mm->exe_file` up to the root, each ended by NUL, the file's own name first.
    pub path: [u8; PATH_BYTES + NAME_BYTES],
}

/// A new process, which runs its parent's image.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// Start.
    pub header: Header,
    /// The child.
    pub child: Owner,
    /// The process whose image it copies.
    pub image: Owner,
    /// Its parent, another process with `CLONE_PARENT`.
    pub parent_tgid: u32,
    /// Zero.
    pub reserved: u32,
}

/// The last thread of a process ended.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Start.
    pub header: Header,
    /// The process.
    pub owner: Owner,
}

/// Bytes of a cgroup's path, with its NUL: as many as the kernel has room for where it tells of cgroups.
pub const CGROUP_PATH_BYTES: usize = 1024;

/// A new cgroup of the unified hierarchy, before any process is in it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupMade {
    /// Start.
    pub header: Header,
    /// As in [`Owner::cgroup_id`].
    pub id: u64,
    /// Bytes used in `path`, without its NUL.
    pub path_len: u32,
    /// 1 when `path` is whole; else it was too long and is cut.
    pub path_complete: u32,
    /// From the root of the hierarchy, whatever namespace the cgroup is made from.
    pub path: [u8; CGROUP_PATH_BYTES],
}

/// A cgroup of the unified hierarchy was removed.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupRemoved {
    /// Start.
    pub header: Header,
    /// As in [`Owner::cgroup_id`].
    pub id: u64,
}

/// Counters of one CPU. `seen` and the drops belong to the equation `seen == delivered + pending + dropped`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// By kind: how often it happened.
    pub seen: [u64; kind::COUNT],
    /// By kind: no room in the ring. A connection's record then waits in the ledger, any other is lost.
    pub ring_full: [u64; kind::COUNT],
    /// By kind: no room in the ledger either, so it is lost.
    pub ledger_full: [u64; kind::COUNT],
    /// By kind: kernel memory that could not be read, so it is lost.
    pub unreadable: [u64; kind::COUNT],
    /// Ends without an entry because the ledger was full at their first transition.
    pub untracked: u64,
    /// Ends of convis's own connections.
    pub own_ends: u64,
    /// Single reads of kernel memory that failed.
    pub read_failed: u64,
    /// Payload bytes sent by connections whose end was lost, see `ledger_full`.
    pub lost_sent: u64,
    /// Payload bytes received by connections whose end was lost.
    pub lost_received: u64,
    /// Attempts of convis itself that failed before a segment was sent: its self-test looks for them.
    pub own_unsent: u64,
    /// Changes of the ledger that the kernel refused, by [`map_error`].
    pub map_errors: [u64; map_error::COUNT],
    /// Zero; the counters of two CPUs share no cache line.
    pub reserved: [u64; 2],
}

/// Number of `u64` in [`Counters`].
pub const COUNTER_WORDS: usize = size_of::<Counters>() / 8;

/// Key of the table that finds the peer's end of convis's own connections.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Local address of the end that is looked for.
    pub local: Address,
    /// Its peer address.
    pub peer: Address,
    /// Its local port, network byte order.
    pub local_port_be: u16,
    /// Its peer port, network byte order.
    pub peer_port_be: u16,
    /// Network namespace for loopback addresses, which repeat; else 0, since the ends may be in different ones.
    pub netns: u32,
}

/// What user space decides before load.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Process id of convis; one that no process has, to leave nothing out.
    pub self_tgid: u64,
    /// Filled bytes of the ring at which the reader is woken.
    pub wake_bytes: u64,
    /// How many copies of the state program are attached.
    pub state_copies: u64,
}

const _: () = {
    assert!(size_of::<Owner>() == 32);
    assert!(size_of::<Conn>() == 112);
    assert!(size_of::<Totals>() == 72);
    assert!(size_of::<Entry>() == 192);
    assert!(size_of::<OpenedRecord>() == 128);
    assert!(size_of::<ClosedRecord>() == 200);
    assert!(size_of::<LiveHead>() == 24);
    assert!(size_of::<Exec>() == 64 + ARGV0_BYTES + PATH_BYTES + NAME_BYTES);
    assert!(size_of::<Fork>() == 88);
    assert!(size_of::<Exit>() == 48);
    assert!(size_of::<CgroupMade>() == 32 + CGROUP_PATH_BYTES);
    assert!(size_of::<CgroupRemoved>() == 24);
    assert!(size_of::<Tuple>() == 40);
    assert!(size_of::<Counters>() == 8 * (4 * kind::COUNT + 12));
};
