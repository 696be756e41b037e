//! Iterator programs: user space reads a file, and the kernel runs the program for each thing there is.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use aya::Btf;
use aya::programs::{Iter, Program, ProgramError};
use convis_ebpf::wire::{Conn, LiveHead, Totals};

/// What the kernel collects before it hands it over, so that one read takes all.
const BUFFER_BYTES: usize = 32 << 10;
/// Bytes of what the program writes for one element.
const ELEMENT_BYTES: usize = size_of::<LiveHead>() + size_of::<Conn>() + size_of::<Totals>();

const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;

/// A program that runs for each of the kernel's somethings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// Its name in the object.
    pub(super) program: &'static str,
    /// What the kernel calls that which it goes over.
    over: &'static str,
    /// The kernel's function for that.
    pub(super) function: &'static str,
}

/// Every file of every task.
pub(super) const FILES: Walk =
    Walk { program: "walk_files", over: "task_file", function: "bpf_iter_task_file" };
/// Every entry of the ledger.
pub(super) const LEDGER: Walk =
    Walk { program: "walk_ledger", over: "bpf_map_elem", function: "bpf_iter_bpf_map_elem" };

impl Walk {
    /// Loads the program, if it is not loaded yet.
    pub(super) fn load(self, program: &mut Program, types: &Btf) -> Result<(), ProgramError> {
        if program.fd().is_ok() {
            return Ok(());
        }
        <&mut Iter>::try_from(program)?.load(self.over, types)
    }
}

/// `bpf_attr.link_create`.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    reserved: u32,
}

/// `bpf_attr.iter_create`.
#[repr(C)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// An iterator program, ready to run.
pub(super) struct Iterator {
    link: OwnedFd,
    buffer: Vec<u8>,
}

impl Iterator {
    /// Over the elements of `map`, or over what the program's type says.
    pub(super) fn new(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        // `bpf_iter_link_info.map`.
        let map_fd = map.map(|map| map.as_raw_fd().unsigned_abs());
        let mut attr = LinkCreate {
            prog_fd: program.as_raw_fd().unsigned_abs(),
            attach_type: BPF_TRACE_ITER,
            ..LinkCreate::default()
        };
        if let Some(map_fd) = &map_fd {
            attr.iter_info = std::ptr::from_ref(map_fd) as u64;
            attr.iter_info_len = 4;
        }
        Ok(Self { link: bpf(BPF_LINK_CREATE, &attr)?, buffer: Vec::new() })
    }

    /// Runs the program for everything there is and hands what it writes to `take`: the bytes of a record.
    pub(super) fn run(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let link_fd = self.link.as_fd().as_raw_fd().unsigned_abs();
        let mut file = File::from(bpf(BPF_ITER_CREATE, &IterCreate { link_fd, flags: 0 })?);
        self.buffer.resize(BUFFER_BYTES, 0);
        let mut held = 0;
        loop {
            let free = self.buffer.get_mut(held..).unwrap_or_default();
            let read = file.read(free)?;
            if read == 0 {
                return Ok(());
            }
            held += read;
            let whole = held - held % ELEMENT_BYTES;
            let elements = self.buffer.get(..whole).unwrap_or_default();
            elements.chunks_exact(ELEMENT_BYTES).for_each(&mut take);
            self.buffer.copy_within(whole..held, 0);
            held -= whole;
        }
    }
}

/// A call of bpf(2) that makes a descriptor. aya makes no links with arguments.
fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<OwnedFd> {
    #[expect(unsafe_code, reason = "no dependency makes this system call")]
    // SAFETY: the kernel reads `size_of::<T>()` bytes at `attr`.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    #[expect(unsafe_code, reason = "no dependency makes this system call")]
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
