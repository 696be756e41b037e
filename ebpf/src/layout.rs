//! The kernel structure members that the programs read, each named once.
//!
//! The programs find them by byte offset; user space resolves the offsets from the running kernel's BTF before load.
//! Compiled into both sides.

/// Offset of an optional member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// A structure member that the programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Structure.
    pub structure: &'static str,
    /// Dotted path of the member.
    pub path: &'static str,
    /// Bytes that the programs read at the member; it must not be smaller.
    pub size: u32,
    /// Without it a feature is off; any other missing member is an error.
    pub optional: bool,
    /// A bit-field of one bit, whose place is in bits.
    pub bit: bool,
}

macro_rules! layout {
    ($($(#[doc = $doc:literal])? $name:ident = $structure:literal $path:literal $size:literal $($mark:ident)*;)*) => {
        /// Byte offset of each member, bits for a bit-field.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct Layout {
            $(#[doc = concat!("`", $structure, ".", $path, "`.")] pub $name: u32,)*
        }

        impl Layout {
            /// Every offset impossible, as the object has it before user space fills it in.
            pub const UNRESOLVED: Self = Self { $($name: ABSENT,)* };
        }

        /// The members in the order of [`Layout`].
        pub const WANTED: &[Wanted] = &[
            $(Wanted {
                structure: $structure,
                path: $path,
                size: $size,
                optional: layout!(@optional $($mark)*),
                bit: layout!(@bit $($mark)*),
            },)*
        ];
    };
    (@optional optional $($mark:ident)*) => { true };
    (@optional $other:ident $($mark:ident)*) => { layout!(@optional $($mark)*) };
    (@optional) => { false };
    (@bit bit $($mark:ident)*) => { true };
    (@bit $other:ident $($mark:ident)*) => { layout!(@bit $($mark)*) };
    (@bit) => { false };
}

layout! {
    skc_family = "sock_common" "skc_family" 2;
    skc_state = "sock_common" "skc_state" 1;
    skc_num = "sock_common" "skc_num" 2;
    skc_dport = "sock_common" "skc_dport" 2;
    skc_daddr = "sock_common" "skc_daddr" 4;
    skc_rcv_saddr = "sock_common" "skc_rcv_saddr" 4;
    skc_v6_daddr = "sock_common" "skc_v6_daddr" 16 optional;
    skc_v6_rcv_saddr = "sock_common" "skc_v6_rcv_saddr" 16 optional;
    skc_net = "sock_common" "skc_net.net" 8 optional;
    skc_flags = "sock_common" "skc_flags" 4;
    sk_protocol = "sock" "sk_protocol" 2;
    sk_kern_sock = "sock" "sk_kern_sock" 0 optional bit;
    sk_shutdown = "sock" "sk_shutdown" 1;
    sk_socket = "sock" "sk_socket" 8;
    sk_err = "sock" "sk_err" 4;
    inet_sport = "inet_sock" "inet_sport" 2;
    bytes_acked = "tcp_sock" "bytes_acked" 8;
    bytes_received = "tcp_sock" "bytes_received" 8;
    bytes_sent = "tcp_sock" "bytes_sent" 8;
    bytes_retrans = "tcp_sock" "bytes_retrans" 8;
    snd_una = "tcp_sock" "snd_una" 4;
    snd_nxt = "tcp_sock" "snd_nxt" 4;
    write_seq = "tcp_sock" "write_seq" 4;
    segs_in = "tcp_sock" "segs_in" 4;
    segs_out = "tcp_sock" "segs_out" 4;
    total_retrans = "tcp_sock" "total_retrans" 4;
    srtt_us = "tcp_sock" "srtt_us" 4;
    tcp_is_mptcp = "tcp_sock" "is_mptcp" 1 optional;
    mptcp_first = "mptcp_sock" "first" 8 optional;
    net_inum = "net" "ns.inum" 4;
    task_tgid = "task_struct" "tgid" 4;
    task_pid = "task_struct" "pid" 4;
    task_group_leader = "task_struct" "group_leader" 8;
    task_start_boottime = "task_struct" "start_boottime" 8;
    task_self_exec_id = "task_struct" "self_exec_id" 4;
    task_real_parent = "task_struct" "real_parent" 8;
    task_mm = "task_struct" "mm" 8;
    task_files = "task_struct" "files" 8;
    task_signal = "task_struct" "signal" 8;
    task_cgroups = "task_struct" "cgroups" 8 optional;
    task_cred = "task_struct" "cred" 8;
    task_thread_pid = "task_struct" "thread_pid" 8 optional;
    task_flags = "task_struct" "flags" 4;
    task_stack = "task_struct" "stack" 8 optional;
    cred_uid = "cred" "uid" 4;
    pid_level = "pid" "level" 4 optional;
    pid_numbers = "pid" "numbers" 0 optional;
    signal_live = "signal_struct" "live" 4;
    css_set_dfl_cgrp = "css_set" "dfl_cgrp" 8 optional;
    cgroup_kn = "cgroup" "kn" 8 optional;
    cgroup_root = "cgroup" "root" 8 optional;
    cgroup_hierarchy = "cgroup_root" "hierarchy_id" 4 optional;
    kernfs_node_id = "kernfs_node" "id" 8;
    mm_exe_file = "mm_struct" "exe_file" 8;
    mm_arg_start = "mm_struct" "arg_start" 8;
    file_dentry = "file" "f_path.dentry" 8;
    file_mnt = "file" "f_path.mnt" 8;
    file_private_data = "file" "private_data" 8;
    dentry_parent = "dentry" "d_parent" 8;
    dentry_name = "dentry" "d_name.name" 8;
    mnt_root = "vfsmount" "mnt_root" 8;
    mount_mnt = "mount" "mnt" 8;
    mount_parent = "mount" "mnt_parent" 8;
    mount_mountpoint = "mount" "mnt_mountpoint" 8;
    files_fdt = "files_struct" "fdt" 8;
    fdtable_fd = "fdtable" "fd" 8;
    socket_sk = "socket" "sk" 8;
    socket_file = "socket" "file" 8;
    x86_di = "pt_regs" "di" 8 optional;
    x86_si = "pt_regs" "si" 8 optional;
    x86_ax = "pt_regs" "ax" 8 optional;
    x86_orig_ax = "pt_regs" "orig_ax" 8 optional;
    x86_sp = "pt_regs" "sp" 8 optional;
    arm64_regs = "user_pt_regs" "regs" 8 optional;
}

/// Number of members.
pub const FIELDS: usize = WANTED.len();

/// Bytes of a `tcp_sock` that are read at once, since one long read costs hardly more than a short one. No more than the
/// programs' stack has room for.
pub const WINDOW_BYTES: u32 = 320;

/// Where the window begins: so that it holds as many of the members as possible. Those outside are read one by one.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Bytes from the start of the `tcp_sock`.
    pub start: u32,
}

const _: () = assert!(size_of::<Layout>() == 4 * FIELDS);
