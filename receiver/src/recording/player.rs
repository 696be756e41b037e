//! Reads a recording, step by step.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use convis_ebpf::wire::Counters;

use super::format::{
    self, FORMAT, FRAME_HEAD_BYTES, Header, Instant, Item, LAYOUT, MAGIC, MOST_FRAME_BYTES, Raw, START_BYTES,
    Step,
};
use crate::outside::{Answers, Question};

/// Of the file, between two reads.
const BUFFER_BYTES: usize = 128 << 10;
/// Most bytes of one step, trailing zeros included: more than a recording convis lets wait for its disk.
const MOST_STEP_BYTES: usize = 512 << 20;

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It begins with something else.
    #[error("it is no recording of convis")]
    Foreign,
    /// Made by a convis that writes otherwise.
    #[error(
        "its format {0} is not the one of this convis, {FORMAT}; replay it with the version that made it"
    )]
    Format(u16),
    /// The kernel's records were other ones, or of a machine with another order of bytes.
    #[error(
        "its records are of another version or architecture of convis; replay it with the version that made it"
    )]
    Layout,
    /// Changed since it was written.
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
}

/// What a recording holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What holds for all of it.
    pub header: Header,
    /// Whole steps.
    pub steps: u64,
    /// Records of the kernel in these.
    pub records: u64,
    /// Whether it goes on to the end of the run.
    pub is_complete: bool,
    /// Bytes at the end that make no whole step.
    pub torn_bytes: u64,
}

/// Reads all of a recording, without replaying it.
///
/// # Errors
/// It is none, or damaged. That it ends in the middle, as after a kill, is none.
pub fn verify(source: impl Read) -> Result<Contents, ReplayError> {
    look_through(Stream { source, taken: Vec::new() })
}

fn look_through(source: impl Source) -> Result<Contents, ReplayError> {
    let mut frames = Frames::new(source)?;
    let header = frames.header()?;
    let mut contents = Contents { header, steps: 0, records: 0, is_complete: false, torn_bytes: 0 };
    let (mut whole_until, mut in_step, mut records, mut bytes) = (frames.at, None, 0, 0);
    loop {
        let damaged = ReplayError::Damaged(frames.at);
        let Some(payload) = frames.next()? else {
            break;
        };
        let mut rest = payload;
        bytes += payload.len();
        while !rest.is_empty() {
            if in_step.is_some()
                && let Some(raw) = format::take_ring(&mut rest)
            {
                records += 1;
                bytes += raw.len();
                continue;
            }
            let Some(item) = format::take_item(&mut rest) else {
                return Err(damaged);
            };
            match (&item, in_step) {
                (Item::Step(step, _), None) if (*step == Step::Start) == (contents.steps == 0) => {
                    in_step = Some(*step);
                }
                (Item::End, Some(step)) if rest.is_empty() => {
                    in_step = None;
                    contents.steps += 1;
                    contents.is_complete |= step == Step::Last;
                    contents.records += std::mem::take(&mut records);
                    bytes = 0;
                }
                (Item::Step(..) | Item::End, _) | (_, None) => return Err(damaged),
                (Item::Ring(raw) | Item::Entry(_, raw) | Item::Live(raw), _) => {
                    records += 1;
                    bytes += raw.len();
                }
                (Item::Answer { question, answer }, _) => {
                    let question: Option<Question<'_>> = postcard::from_bytes(question).ok();
                    if !question.is_some_and(|question| question.is_answered_by(answer)) {
                        return Err(damaged);
                    }
                }
                _ => {}
            }
        }
        if bytes > MOST_STEP_BYTES {
            return Err(damaged);
        }
        if in_step.is_none() {
            whole_until = frames.at;
        }
    }
    contents.torn_bytes = frames.at + frames.torn_bytes - whole_until;
    Ok(contents)
}

/// Bytes in their order.
trait Source {
    /// The next ones, `len` of them; fewer only where they end.
    fn take(&mut self, len: usize) -> io::Result<&[u8]>;

    /// Whether they may be others than when they were looked through.
    fn may_change(&self) -> bool {
        true
    }
}

/// Of a file.
struct Stream<R> {
    source: R,
    taken: Vec<u8>,
}

impl<R: Read> Source for Stream<R> {
    fn take(&mut self, len: usize) -> io::Result<&[u8]> {
        self.taken.clear();
        // Reserves as it reads, whatever the length claims.
        (&mut self.source).take(len as u64).read_to_end(&mut self.taken)?;
        Ok(&self.taken)
    }
}

/// In memory.
struct Memory {
    bytes: Arc<[u8]>,
    at: usize,
    /// Whether they have been looked through.
    is_known: bool,
}

impl Source for Memory {
    fn take(&mut self, len: usize) -> io::Result<&[u8]> {
        let begin = self.at;
        self.at = begin.saturating_add(len).min(self.bytes.len());
        Ok(&self.bytes[begin..self.at])
    }

    fn may_change(&self) -> bool {
        !self.is_known
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn take(&mut self, len: usize) -> io::Result<&[u8]> {
        (**self).take(len)
    }

    fn may_change(&self) -> bool {
        (**self).may_change()
    }
}

/// The frames of a file.
struct Frames<S> {
    source: S,
    /// Where the last frame begins, and where it ends.
    frame_at: u64,
    at: u64,
    /// Bytes behind it that are no whole frame.
    torn_bytes: u64,
}

impl<S: Source> Frames<S> {
    fn new(mut source: S) -> Result<Self, ReplayError> {
        let Some(start) = source.take(START_BYTES)?.first_chunk::<START_BYTES>().copied() else {
            return Err(ReplayError::Foreign);
        };
        if start[..MAGIC.len()] != MAGIC {
            return Err(ReplayError::Foreign);
        }
        let format = u16::from_le_bytes([start[8], start[9]]);
        if format != FORMAT {
            return Err(ReplayError::Format(format));
        }
        if start[12..] != LAYOUT.to_le_bytes() {
            return Err(ReplayError::Layout);
        }
        let at = START_BYTES as u64;
        Ok(Self { source, frame_at: at, at, torn_bytes: 0 })
    }

    fn header(&mut self) -> Result<Header, ReplayError> {
        let at = self.at;
        let payload = self.next()?.unwrap_or_default();
        postcard::from_bytes(payload).map_err(|_| ReplayError::Damaged(at))
    }

    /// The payload of the next whole frame.
    fn next(&mut self) -> Result<Option<&[u8]>, ReplayError> {
        self.frame_at = self.at;
        let head = self.source.take(FRAME_HEAD_BYTES)?;
        let Some(head) = head.first_chunk::<FRAME_HEAD_BYTES>().copied() else {
            self.torn_bytes = head.len() as u64;
            return Ok(None);
        };
        let [len, crc] =
            [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        let len = len as usize;
        if len == 0 {
            return self.nothing_but_zeros(head);
        }
        if len > MOST_FRAME_BYTES {
            return Err(ReplayError::Damaged(self.frame_at));
        }
        let may_change = self.source.may_change();
        let payload = self.source.take(len)?;
        if payload.len() < len {
            self.torn_bytes = (FRAME_HEAD_BYTES + payload.len()) as u64;
            return Ok(None);
        }
        if may_change && crc32fast::hash(payload) != crc {
            return Err(ReplayError::Damaged(self.frame_at));
        }
        self.at += (FRAME_HEAD_BYTES + len) as u64;
        Ok(Some(payload))
    }

    /// A machine that lost power can leave zeros where its last writes were to be.
    fn nothing_but_zeros(&mut self, head: [u8; FRAME_HEAD_BYTES]) -> Result<Option<&[u8]>, ReplayError> {
        const BLOCK_BYTES: usize = 4096;
        self.torn_bytes = head.len() as u64;
        let mut is_zero = head == [0; FRAME_HEAD_BYTES];
        loop {
            let block = self.source.take(BLOCK_BYTES)?;
            is_zero &= block.iter().all(|byte| *byte == 0);
            self.torn_bytes += block.len() as u64;
            match (is_zero, block.len()) {
                (false, _) => return Err(ReplayError::Damaged(self.frame_at)),
                (true, 0) => return Ok(None),
                _ => {}
            }
        }
    }
}

/// Gives back what was recorded, in its order.
pub struct Player {
    frames: Frames<Box<dyn Source>>,
    contents: Contents,
    /// When the capture task was made.
    start: Instant,
    steps_left: u64,
    answers: Rc<RefCell<Answers>>,
    present: Present,
}

/// The present step.
#[derive(Debug, Default)]
struct Present {
    /// Bytes of all records of it.
    bytes: Vec<u8>,
    ring: VecDeque<Vec<Range<usize>>>,
    ledger: VecDeque<Vec<(u64, Range<usize>)>>,
    live: VecDeque<Vec<Range<usize>>>,
    counters: VecDeque<Counters>,
    /// The last ones that were handed out, and that were read.
    last_counters: Option<Counters>,
    newest_counters: Option<Counters>,
    skipped: u64,
}

impl Player {
    /// Reads all of the file once, then its first step, whose answers are there from then on.
    ///
    /// # Errors
    /// See [`verify`].
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let contents = verify(BufReader::new(File::open(path)?))?;
        let source = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        Self::of(contents, Box::new(Stream { source, taken: Vec::new() }))
    }

    /// Of a recording in memory.
    ///
    /// # Errors
    /// See [`verify`].
    pub fn of_bytes(bytes: Arc<[u8]>) -> Result<Self, ReplayError> {
        let contents = look_through(Memory { bytes: Arc::clone(&bytes), at: 0, is_known: false })?;
        Self::of(contents, Box::new(Memory { bytes, at: 0, is_known: true }))
    }

    fn of(contents: Contents, source: Box<dyn Source>) -> Result<Self, ReplayError> {
        let mut frames = Frames::new(source)?;
        frames.header()?;
        let steps_left = contents.steps;
        let (answers, present) = (Rc::default(), Present::default());
        let start = contents.header.attached;
        let mut player = Self { frames, contents, start, steps_left, answers, present };
        if let Some((_, at)) = player.next_step()? {
            player.start = at;
        }
        Ok(player)
    }

    /// What the recording holds.
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// When the capture task was made.
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// What the host answered in the present step.
    pub fn answers(&self) -> Rc<RefCell<Answers>> {
        Rc::clone(&self.answers)
    }

    /// Goes on to the next step; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is no longer what it was.
    pub fn next_step(&mut self) -> Result<Option<(Step, Instant)>, ReplayError> {
        let mut answers = self.answers.borrow_mut();
        answers.clear();
        let Some(steps_left) = self.steps_left.checked_sub(1) else {
            return Ok(None);
        };
        self.steps_left = steps_left;
        self.present.begin();
        let mut begun = None;
        loop {
            let at = self.frames.at;
            let payload = self.frames.next()?.ok_or(ReplayError::Damaged(at))?;
            let mut rest = payload;
            while !rest.is_empty() {
                if let Some(raw) = format::take_ring(&mut rest) {
                    self.present.take_ring(raw);
                    continue;
                }
                match format::take_item(&mut rest).ok_or(ReplayError::Damaged(at))? {
                    Item::Step(step, at) => begun = Some((step, at)),
                    Item::Answer { question, answer } => answers.add(question, answer),
                    // The last item of a frame, as it was written.
                    Item::End => return Ok(begun),
                    item => self.present.take(item),
                }
            }
        }
    }

    /// Hands what one drain of the ring gave to `take`.
    pub fn ring(&mut self, mut take: impl FnMut(&[u8])) {
        for range in self.present.ring.pop_front().unwrap_or_default() {
            take(&self.present.bytes[range]);
        }
    }

    /// Hands what one sweep of the ledger gave to `take`: keys and entries.
    pub fn ledger(&mut self, mut take: impl FnMut(u64, &[u8])) {
        for (key, range) in self.present.ledger.pop_front().unwrap_or_default() {
            take(key, &self.present.bytes[range]);
        }
    }

    /// Hands what one walk gave to `take`.
    pub fn live(&mut self, mut take: impl FnMut(&[u8])) {
        for range in self.present.live.pop_front().unwrap_or_default() {
            take(&self.present.bytes[range]);
        }
    }

    /// The counters, as they were read next.
    pub fn counters(&mut self) -> Counters {
        if let Some(next) = self.present.counters.pop_front() {
            self.present.last_counters = Some(next);
        }
        self.present.last_counters.unwrap_or_else(|| format::counters(&[]))
    }

    /// How often the kernel had skipped a program.
    pub const fn skipped(&self) -> u64 {
        self.present.skipped
    }
}

impl Present {
    fn begin(&mut self) {
        self.bytes.clear();
        self.ring.clear();
        self.ledger.clear();
        self.live.clear();
        self.counters.clear();
        self.ring.push_back(Vec::new());
        self.ledger.push_back(Vec::new());
        self.live.push_back(Vec::new());
    }

    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Ring(raw) => self.take_ring(raw),
            Item::Entry(key, raw) => {
                let range = self.keep(raw);
                add(&mut self.ledger, (key, range));
            }
            Item::Live(raw) => {
                let range = self.keep(raw);
                add(&mut self.live, range);
            }
            Item::Drained => self.ring.push_back(Vec::new()),
            Item::Swept => self.ledger.push_back(Vec::new()),
            Item::Walked => self.live.push_back(Vec::new()),
            Item::Counters(words) => {
                let counters = format::counters(&words);
                self.counters.push_back(counters);
                self.newest_counters = Some(counters);
            }
            Item::SameCounters => self.counters.extend(self.newest_counters),
            Item::Skipped(runs) => self.skipped = runs,
            Item::Step(..) | Item::Answer { .. } | Item::End => {}
        }
    }

    fn take_ring(&mut self, raw: Raw<'_>) {
        let range = self.keep(raw);
        add(&mut self.ring, range);
    }

    fn keep(&mut self, raw: Raw<'_>) -> Range<usize> {
        let begin = self.bytes.len();
        raw.append_to(&mut self.bytes);
        begin..self.bytes.len()
    }
}

fn add<T>(calls: &mut VecDeque<Vec<T>>, item: T) {
    if let Some(last) = calls.back_mut() {
        last.push(item);
    }
}
