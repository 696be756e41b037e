//! Parses records of the ring and values of the ledger.
//!
//! Bytes are read field by field, never cast, so any bytes give a record or a named error.

use crate::wire::{
    ARGV0_BYTES, Address, CGROUP_PATH_BYTES, COUNTER_WORDS, Conn, Counters, Entry, Header, NAME_BYTES, Owner,
    PATH_BYTES, Totals, VERSION, kind,
};

/// A record of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A connection is usable.
    Opened {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        time_ns: u64,
        /// The connection.
        conn: Conn,
    },
    /// A connection ended.
    Closed {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        time_ns: u64,
        /// The connection.
        conn: Conn,
        /// Its figures.
        totals: Totals,
    },
    /// An attempt failed.
    Failed {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        time_ns: u64,
        /// The connection.
        conn: Conn,
        /// Its figures.
        totals: Totals,
    },
    /// A process runs a new image.
    Exec(Box<Image>),
    /// A new process copies another's image.
    Fork {
        /// The child.
        child: Owner,
        /// Whose image it has.
        image: Owner,
        /// Process id of the child's parent.
        parent_tgid: u32,
    },
    /// A process ended.
    Exit {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        time_ns: u64,
        /// The process.
        owner: Owner,
    },
    /// A listening socket closed.
    ListenerClosed {
        /// Its local address, namespace and, if its beginning was seen, owner.
        conn: Conn,
    },
    /// A socket listens.
    Listening {
        /// Its local address, namespace and owner.
        conn: Conn,
    },
    /// A living entry of the ledger, as of now: a connection, an attempt, or a listener.
    Live {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        time_ns: u64,
        /// Where the entry is in the ledger.
        key: u64,
        /// The connection.
        conn: Conn,
        /// Its figures so far. `old_state` is the state it is in, `CLOSE` if the socket is no longer this connection's:
        /// then nothing else is known of it.
        totals: Totals,
    },
    /// A new cgroup of the unified hierarchy.
    CgroupMade {
        /// As in [`Owner::cgroup_id`].
        id: u64,
        /// From the root of the hierarchy, unless it is too long.
        path: Option<String>,
    },
    /// A cgroup of the unified hierarchy was removed.
    CgroupRemoved {
        /// As in [`Owner::cgroup_id`].
        id: u64,
        /// `CLOCK_BOOTTIME`, nanoseconds.
        time_ns: u64,
    },
}

/// A process image as the kernel tells it at exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The process.
    pub owner: Owner,
    /// Process id of its parent.
    pub parent_tgid: u32,
    /// Name of the executable file.
    pub name: String,
    /// Absolute path of the executable file, unless it is too deep or too long.
    pub path: Option<String>,
    /// `argv[0]`, cut at 127 bytes.
    pub command: Option<String>,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the kind has.
    #[error("the record is too short")]
    Short,
    /// Written by other programs than this version's.
    #[error("the record has version {0}")]
    Version(u8),
    /// Not a kind of this version.
    #[error("the record has the unknown kind {0}")]
    Kind(u8),
}

impl Record {
    /// Parses one record.
    ///
    /// # Errors
    /// The bytes are too few, or of another version or kind.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        let header = reader.header()?;
        if header.version != VERSION {
            return Err(RecordError::Version(header.version));
        }
        // The frequent ones by themselves: among the others, each of their fields would be moved twice.
        match header.kind {
            kind::OPENED => Self::opened(header.time_ns, reader),
            kind::CLOSED => Self::closed(header.time_ns, reader),
            kind::LIVE => Self::live(header.time_ns, reader),
            _ => Self::other(&header, reader),
        }
    }

    #[inline(never)]
    fn opened(time_ns: u64, mut reader: Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self::Opened { time_ns, conn: reader.conn()? })
    }

    #[inline(never)]
    fn closed(time_ns: u64, mut reader: Reader<'_>) -> Result<Self, RecordError> {
        let mut part = reader.part::<{ size_of::<Conn>() + size_of::<Totals>() }>()?;
        Ok(Self::Closed { time_ns, conn: part.conn()?, totals: part.totals()? })
    }

    #[inline(never)]
    fn live(time_ns: u64, mut reader: Reader<'_>) -> Result<Self, RecordError> {
        let mut part = reader.part::<{ 8 + size_of::<Conn>() + size_of::<Totals>() }>()?;
        Ok(Self::Live { time_ns, key: part.u64()?, conn: part.conn()?, totals: part.totals()? })
    }

    #[inline(never)]
    fn other(header: &Header, mut reader: Reader<'_>) -> Result<Self, RecordError> {
        let time_ns = header.time_ns;
        Ok(match header.kind {
            kind::FAILED => Self::Failed { time_ns, conn: reader.conn()?, totals: reader.totals()? },
            kind::EXEC => Self::Exec(Box::new(reader.image()?)),
            kind::FORK => {
                Self::Fork { child: reader.owner()?, image: reader.owner()?, parent_tgid: reader.u32()? }
            }
            kind::EXIT => Self::Exit { time_ns, owner: reader.owner()? },
            kind::LISTENER_CLOSED => Self::ListenerClosed { conn: reader.conn()? },
            kind::LISTENING => Self::Listening { conn: reader.conn()? },
            kind::CGROUP_MADE => Self::CgroupMade { id: reader.u64()?, path: reader.cgroup_path()? },
            kind::CGROUP_REMOVED => Self::CgroupRemoved { id: reader.u64()?, time_ns },
            other => return Err(RecordError::Kind(other)),
        })
    }
}

impl Entry {
    /// Parses a value of the ledger.
    ///
    /// # Errors
    /// The bytes are too few.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        Ok(Self { conn: reader.conn()?, totals: reader.totals()?, end_ns: reader.u64()? })
    }
}

impl Counters {
    /// The sum over all CPUs, each as the words of its [`Counters`].
    pub fn sum(per_cpu: impl IntoIterator<Item = [u64; COUNTER_WORDS]>) -> Self {
        let mut words = [0_u64; COUNTER_WORDS];
        for cpu in per_cpu {
            for (total, word) in words.iter_mut().zip(cpu) {
                *total = total.wrapping_add(word);
            }
        }
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap_or_default();
        let mut by_kind = || std::array::from_fn(|_| next());
        let (seen, ring_full, ledger_full, unreadable) = (by_kind(), by_kind(), by_kind(), by_kind());
        Self {
            seen,
            ring_full,
            ledger_full,
            unreadable,
            untracked: next(),
            own_ends: next(),
            read_failed: next(),
            lost_sent: next(),
            lost_received: next(),
            own_unsent: next(),
            map_errors: std::array::from_fn(|_| next()),
            reserved: [0; 2],
        }
    }
}

/// Takes fields from the front of the bytes, host byte order.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.here().copied()
    }

    /// The same, where they are.
    #[inline]
    fn here<const N: usize>(&mut self) -> Result<&'a [u8; N], RecordError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(RecordError::Short)?;
        self.0 = rest;
        Ok(field)
    }

    /// A reader of the next `N` bytes, whose length is looked at once for all fields in them.
    #[inline]
    fn part<const N: usize>(&mut self) -> Result<Self, RecordError> {
        Ok(Self(self.here::<N>()?))
    }

    #[inline]
    fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(self.take::<1>()?[0])
    }

    #[inline]
    fn u16(&mut self) -> Result<u16, RecordError> {
        self.take().map(u16::from_ne_bytes)
    }

    #[inline]
    fn u32(&mut self) -> Result<u32, RecordError> {
        self.take().map(u32::from_ne_bytes)
    }

    #[inline]
    fn u64(&mut self) -> Result<u64, RecordError> {
        self.take().map(u64::from_ne_bytes)
    }

    #[inline]
    fn address(&mut self) -> Result<Address, RecordError> {
        Ok([self.u64()?, self.u64()?])
    }

    #[inline]
    fn header(&mut self) -> Result<Header, RecordError> {
        let mut part = self.part::<{ size_of::<Header>() }>()?;
        Ok(Header {
            version: part.u8()?,
            kind: part.u8()?,
            reserved: part.u16()?,
            reserved2: part.u32()?,
            time_ns: part.u64()?,
        })
    }

    #[inline]
    fn owner(&mut self) -> Result<Owner, RecordError> {
        let mut part = self.part::<{ size_of::<Owner>() }>()?;
        Ok(Owner {
            tgid: part.u32()?,
            exec_seq: part.u32()?,
            start_ns: part.u64()?,
            cgroup_id: part.u64()?,
            uid: part.u32()?,
            vpid: part.u32()?,
        })
    }

    #[inline]
    fn conn(&mut self) -> Result<Conn, RecordError> {
        let mut part = self.part::<{ size_of::<Conn>() }>()?;
        Ok(Conn {
            id: part.u64()?,
            start_ns: part.u64()?,
            established_ns: part.u64()?,
            owner: part.owner()?,
            local: part.address()?,
            peer: part.address()?,
            local_port_be: part.u16()?,
            peer_port_be: part.u16()?,
            netns: part.u32()?,
            family: part.u16()?,
            flags: part.u16()?,
            role: part.u8()?,
            reserved: part.take()?,
            closer: part.u32()?,
            transition: part.u32()?,
        })
    }

    #[inline]
    fn totals(&mut self) -> Result<Totals, RecordError> {
        let mut part = self.part::<{ size_of::<Totals>() }>()?;
        Ok(Totals {
            bytes_acked: part.u64()?,
            bytes_received: part.u64()?,
            bytes_sent: part.u64()?,
            bytes_retrans: part.u64()?,
            snd_una: part.u32()?,
            snd_nxt: part.u32()?,
            write_seq: part.u32()?,
            segs_in: part.u32()?,
            segs_out: part.u32()?,
            total_retrans: part.u32()?,
            srtt_us_8: part.u32()?,
            sk_err: part.u32()?,
            sk_flags: part.u32()?,
            old_state: part.u8()?,
            shutdown: part.u8()?,
            reserved: part.take()?,
        })
    }

    fn image(&mut self) -> Result<Image, RecordError> {
        let owner = self.owner()?;
        let parent_tgid = self.u32()?;
        let path_len = usize::from(self.u16()?);
        let argv0_len = usize::from(self.u16()?);
        let complete = self.u32()? == 1;
        let _reserved = self.u32()?;
        let argv0: &[u8; ARGV0_BYTES] = self.here()?;
        let path: &[u8; PATH_BYTES + NAME_BYTES] = self.here()?;
        let names = names(&path[..path_len.min(path.len())]);
        let argv0 = &argv0[..argv0_len.min(ARGV0_BYTES)];
        let command = argv0.split(|&byte| byte == 0).next().filter(|text| !text.is_empty());
        Ok(Image {
            owner,
            parent_tgid,
            name: names.first().map(|name| text(name)).unwrap_or_default(),
            path: complete.then(|| joined(&names)),
            command: command.map(text),
        })
    }

    /// `None` for a path that was cut: it would name another cgroup.
    fn cgroup_path(&mut self) -> Result<Option<String>, RecordError> {
        let len = self.u32()? as usize;
        let complete = self.u32()? == 1;
        let path: &[u8; CGROUP_PATH_BYTES] = self.here()?;
        Ok(path.get(..len).filter(|path| complete && path.starts_with(b"/")).map(text))
    }
}

/// The names between NULs, the file's own first.
fn names(path: &[u8]) -> Vec<&[u8]> {
    path.split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect()
}

fn joined(names: &[&[u8]]) -> String {
    names.iter().rev().fold(String::new(), |path, name| path + "/" + &text(name))
}

/// File names are bytes; attributes are UTF-8.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
