//! From a descriptor to the socket behind it.

use core::mem::MaybeUninit;

use crate::kernel::{Block, ReadFailed, offset, read, read_at, try_read};
use crate::task;

/// The part of a `socket` that has its file and its `sock` on every kernel so far.
const SOCKET_WORDS: usize = 4;

/// The socket behind a descriptor of the running task; 0 when there is none.
#[inline(always)]
pub fn socket(fd: u64) -> Result<u64, ReadFailed> {
    let files = read!(task::current(), task_files, u64)?;
    let table = read!(files, files_fdt, u64)?;
    let slots = read!(table, fdtable_fd, u64)?;
    let file: u64 = read_at(slots.wrapping_add(fd * 8), 0)?;
    if file == 0 {
        return Ok(0);
    }
    let mut words = MaybeUninit::uninit();
    let socket = Block::<SOCKET_WORDS>::read(&mut words, read!(file, file_private_data, u64)?, 0)?;
    // Another thread may have put another file in the slot: only a socket points back at its file.
    if socket.get::<u64>(offset!(socket_file))? != file {
        return Ok(0);
    }
    socket.get(offset!(socket_sk))
}

/// The socket behind any file; 0 when the file is none. What other files keep in the same place need not be a pointer, so
/// failing reads are no errors.
#[inline(always)]
pub fn socket_of_file(file: u64) -> u64 {
    let private: u64 = try_read(file, offset!(file_private_data)).unwrap_or(0);
    if private == 0 || try_read(private, offset!(socket_file)) != Some(file) {
        return 0;
    }
    try_read(private, offset!(socket_sk)).unwrap_or(0)
}
